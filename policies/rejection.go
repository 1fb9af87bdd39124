package policies

import "strings"

// Rejection is why a policy is not enforced as it is written. It is one value from
// the policy engine to the screen, in JSON where that is between processes.
type Rejection struct {
	// Reason is the sentence for people.
	Reason string `json:"reason"`
	// Fields are paths in the object that the datapath does not serve, in the order
	// of the object. The rest of it is enforced, and these allow nothing. Empty
	// where the object is refused as a whole: then what was in force of it before
	// stays in force, as in Cilium.
	Fields []string `json:"fields,omitempty"`
	// Advice says what to do about it.
	Advice string `json:"cure,omitempty"`
}

// NotServed is a policy with fields that the datapath does not serve.
func NotServed(fields []string) *Rejection {
	return &Rejection{
		Reason: "not served by this datapath, so it allows nothing: " + strings.Join(fields, ", "),
		Fields: fields,
		Advice: "remove these fields, or use a cluster with Cilium's own datapath",
	}
}

// Invalid is a policy that Cilium's parser refuses, for the reason that err gives.
func Invalid(err error) *Rejection {
	return &Rejection{Reason: err.Error(), Advice: "correct what the message names, and apply it again"}
}

// Error is the reason. A nil Rejection is a policy that is enforced as written: do
// not make an error of it.
func (r *Rejection) Error() string { return r.Reason }

// Cure is the advice.
func (r *Rejection) Cure() string { return r.Advice }

// Whole says whether nothing of the object is in force as it is written.
func (r *Rejection) Whole() bool { return len(r.Fields) == 0 }
