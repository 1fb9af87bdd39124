package checks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// The texts are what curl 7.88 and 8.x write with -v and our -w, the progress
// meter included.
const (
	meter = "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n" +
		"                                 Dload  Upload   Total   Spent    Left  Speed\n" +
		"\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0"
	okHeaders = "HTTP/2 200 \r\nserver: netdojo\r\ncontent-type: text/html\r\n\r\n"
)

func TestReadOutcomeOfCurl(t *testing.T) {
	tried := []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:443")}
	pid := "netdojo-pid 42\n"
	tests := []struct {
		name string
		res  ExecResult
		err  error
		want Outcome
		is   error // what Outcome.Err must be; Err itself is not compared
	}{
		{
			name: "allowed",
			res: ExecResult{Stdout: []byte(okHeaders), Stderr: []byte(pid + meter + "*   Trying 203.0.113.7:443...\n" +
				"* Connected to kubernetes.io (203.0.113.7) port 443 (#0)\n> HEAD / HTTP/2\n" +
				"netdojo-curl exit=0\thttp=200\tconnect=0.002500\tremote=203.0.113.7\tlocal=40112\terror=\n")},
			want: Outcome{
				HTTPStatus: 200, Stage: StageConnected, RemoteIP: "203.0.113.7", LocalPort: 40112,
				Connect: 2500 * time.Microsecond, Tried: tried, PID: 42,
			},
		},
		{
			name: "allowed, new wording of the connection and no write-out variables of 7.75",
			res: ExecResult{Stdout: []byte(okHeaders), Stderr: []byte(pid + "* Host kubernetes.io:443 was resolved.\n" +
				"*   Trying 203.0.113.7:443...\n* Established connection to kubernetes.io (203.0.113.7 port 443) from 10.244.0.9 port 40112 \n" +
				"netdojo-curl exit=0\thttp=200\tconnect=\tremote=203.0.113.7\tlocal=40112\terror=\n")},
			want: Outcome{
				HTTPStatus: 200, Stage: StageConnected, RemoteIP: "203.0.113.7", LocalPort: 40112, Tried: tried, PID: 42,
			},
		},
		{
			name: "connect timed out",
			res: ExecResult{ExitCode: 28, Stderr: []byte(pid + meter + "*   Trying 203.0.113.7:443...\n* After 4999ms connect time, move on!\n" +
				"curl: (28) Connection timed out after 5001 milliseconds\n" +
				"netdojo-curl exit=28\thttp=000\tconnect=0.000000\tremote=\tlocal=0\terror=Connection timed out after 5001 milliseconds\n")},
			want: Outcome{ExitCode: 28, Stage: StageConnecting, Tried: tried, PID: 42, Message: "Connection timed out after 5001 milliseconds"},
		},
		{
			name: "resolving timed out",
			res: ExecResult{ExitCode: 28, Stderr: []byte(pid + meter + "* Resolving timed out after 5000 milliseconds\n" +
				"curl: (28) Resolving timed out after 5000 milliseconds\n" +
				"netdojo-curl exit=28\thttp=000\tconnect=0.000000\tremote=\tlocal=0\terror=Resolving timed out after 5000 milliseconds\n")},
			want: Outcome{ExitCode: 28, Stage: StageResolving, PID: 42, Message: "Resolving timed out after 5000 milliseconds"},
		},
		{
			name: "no such host",
			res: ExecResult{ExitCode: 6, Stderr: []byte(pid + "* Could not resolve host: cilium.io\ncurl: (6) Could not resolve host: cilium.io\n" +
				"netdojo-curl exit=6\thttp=000\tconnect=0.000000\tremote=\tlocal=0\terror=Could not resolve host: cilium.io\n")},
			want: Outcome{ExitCode: 6, Stage: StageResolving, PID: 42, Message: "Could not resolve host: cilium.io"},
		},
		{
			name: "refused, the remark behind the meter",
			res: ExecResult{ExitCode: 7, Stderr: []byte(pid + meter + "*   Trying 203.0.113.7:443...\n" +
				"* connect to 203.0.113.7 port 443 failed: Connection refused\n" +
				"curl: (7) Failed to connect to cilium.io port 443 after 1 ms: Couldn't connect to server\n" +
				"netdojo-curl exit=7\thttp=000\tconnect=0.000000\tremote=\tlocal=0\terror=Failed to connect\n")},
			want: Outcome{
				ExitCode: 7, Stage: StageConnecting, Tried: tried, PID: 42,
				Message: "Failed to connect to cilium.io port 443 after 1 ms: Couldn't connect to server",
			},
		},
		{
			name: "denied by the proxy",
			res: ExecResult{Stdout: []byte("HTTP/1.1 403 Forbidden\r\nserver: envoy\r\n\r\n"), Stderr: []byte(pid +
				"netdojo-curl exit=0\thttp=403\tconnect=0.001\tremote=10.96.1.1\tlocal=5\terror=\n")},
			want: Outcome{
				HTTPStatus: 403, Stage: StageConnected, RemoteIP: "10.96.1.1", LocalPort: 5, Connect: time.Millisecond, Envoy: true, PID: 42,
			},
		},
		{
			name: "the stream broke after curl told its code",
			err:  fmt.Errorf("%w: EOF", ErrStreamLost),
			res:  ExecResult{Stderr: []byte(pid + "netdojo-curl exit=28\thttp=000\tconnect=0\tremote=\tlocal=0\terror=x\n")},
			want: Outcome{ExitCode: 28, Stage: StageResolving, PID: 42, Message: "x"},
		},
		{
			name: "the stream broke before",
			err:  fmt.Errorf("%w: EOF", ErrStreamLost),
			res:  ExecResult{Stderr: []byte(pid + "*   Trying 203.0.113.7:443...\n")},
			want: Outcome{Stage: StageConnecting, Tried: tried, PID: 42},
			is:   ErrStreamLost,
		},
		{
			name: "success without curl's word is a lost stream",
			res:  ExecResult{Stderr: []byte(pid)},
			want: Outcome{Stage: StageResolving, PID: 42},
			is:   ErrStreamLost,
		},
		{
			name: "no curl in the container",
			res:  ExecResult{ExitCode: 127, Stderr: []byte(pid + "sh: exec: line 1: curl: not found\n")},
			want: Outcome{ExitCode: 127, Stage: StageResolving, PID: 42},
			is:   ErrNoCommand,
		},
		{
			name: "cancelled while connecting",
			err:  context.Canceled,
			res:  ExecResult{Stderr: []byte(pid + "*   Trying 203.0.113.7:443...\n")},
			want: Outcome{Stage: StageConnecting, Tried: tried, PID: 42},
			is:   context.Canceled,
		},
		{
			name: "values out of range are not read",
			res: ExecResult{ExitCode: 1, Stderr: []byte(pid +
				"netdojo-curl exit=999\thttp=7\tconnect=-1\tremote=nobody\tlocal=70000\terror=\nnetdojo-pid -3\n")},
			want: Outcome{ExitCode: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ReadOutcome(Curl{}, tt.res, tt.err)
			if !errors.Is(got.Err, tt.is) {
				t.Errorf("Err is %v, want %v", got.Err, tt.is)
			}
			got.Err = nil
			if tt.is == nil {
				Curl{}.Conclude(&tt.want) // TestConclude's business
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestReadOutcomeOfCommand(t *testing.T) {
	got := ReadOutcome(Command{}, ExecResult{Stderr: []byte("netdojo-pid 7\nnc: timed out\nnetdojo-exit 1\n")}, ErrStreamLost)
	if got.Err != nil || got.ExitCode != 1 || got.PID != 7 {
		t.Errorf("got %+v, want exit code 1 of process 7", got)
	}
}

func FuzzReadOutcome(f *testing.F) {
	f.Add([]byte(okHeaders), []byte("netdojo-pid 42\n"+meter+"*   Trying 203.0.113.7:443...\nnetdojo-curl exit=28\thttp=000\n"), 28)
	f.Add([]byte(""), []byte("curl: (6) \nnetdojo-exit 1\n* Trying :::0...\n"), 0)
	f.Fuzz(func(t *testing.T, stdout, stderr []byte, code int) {
		for _, k := range ProbeKinds() {
			p := k.New()
			o := ReadOutcome(p, ExecResult{Stdout: stdout, Stderr: stderr, ExitCode: code}, nil)
			if o.PID < 0 || o.HTTPStatus < 0 || o.HTTPStatus > 999 || o.Connect < 0 {
				t.Errorf("out of range: %+v", o)
			}
			in := Input{Check: Check{ID: "x", To: "a.example:443", Probe: Spec{Probe: p}}, Outcome: o, Subject: Subject{State: PodReady}, FlowState: FlowsLive}
			if v := Judge(in); v.Kind == Denied || v.Kind == DeniedL7 {
				t.Errorf("a deny without flows and control: %+v", v)
			}
		}
	})
}
