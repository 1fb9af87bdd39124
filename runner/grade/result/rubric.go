package result

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Rubric says what pairs are worth and how points become marks, in place of the lab's
// own points.
type Rubric struct {
	// Pairs has each pair of the lab.
	Pairs []PairWeight `json:"pairs"`
	Late  Late         `json:"late,omitzero"`
	Round Rounding     `json:"round,omitzero"`
}

// PairWeight is what a pair is worth.
type PairWeight struct {
	Task   string `json:"task"`
	Allow  string `json:"allow"` // the check's ID
	Deny   string `json:"deny"`
	Points int    `json:"points"` // 0 for a pair that does not count
}

// Late says what being late costs, after the due time.
type Late struct {
	Percent float64 `json:"percent,omitempty"` // of the points, for each day or hour that has begun
	Hourly  bool    `json:"hourly,omitempty"`  // for each hour
	// GraceMinutes after the due time cost nothing; who is later than that is late from
	// the due time on.
	GraceMinutes int     `json:"graceMinutes,omitempty"`
	Most         float64 `json:"most,omitempty"` // percent that being late costs at most; 0 for no bound
	// Closes is when submissions end to earn points, but for people whose due time is
	// later; absent for never.
	Closes time.Time `json:"closes,omitzero"`
}

// Rounding says to what marks are rounded; the zero Rounding is to two decimals.
type Rounding struct {
	To  float64 `json:"to"` // 0.5: to halves
	Way string  `json:"way,omitempty"`
}

// Ways of rounding.
const (
	Nearest = "nearest"
	Up      = "up"
	Down    = "down"
)

// round gives a mark.
func (r Rounding) round(points float64) float64 {
	if r.To <= 0 {
		return cents(points)
	}
	// A mark that is a step but for the last bits of its binary form is that step.
	steps := math.Round(points/r.To*1e6) / 1e6
	switch r.Way {
	case Up:
		steps = math.Ceil(steps)
	case Down:
		steps = math.Floor(steps)
	default:
		steps = math.Round(steps)
	}
	return cents(steps * r.To)
}

// Most is what all pairs are worth.
func (r Rubric) Most() int {
	sum := 0
	for _, p := range r.Pairs {
		sum += p.Points
	}
	return sum
}

// weigh gives tasks with the rubric's points, and what they earned of what they are
// worth. The tasks that it is given stay as they are.
func (r Rubric) weigh(tasks []Task) (out []Task, points int) {
	for _, t := range tasks {
		t.Points, t.Max = 0, 0
		pairs := []Pair{}
		for _, p := range t.Pairs {
			earned := p.Points == p.Max
			p.Points, p.Max = 0, 0
			for _, w := range r.Pairs {
				if w.Task == t.ID && w.Allow == p.Allow && w.Deny == p.Deny {
					p.Max = w.Points
				}
			}
			if earned {
				p.Points = p.Max
			}
			t.Points, t.Max = t.Points+p.Points, t.Max+p.Max
			pairs = append(pairs, p)
		}
		t.Pairs = pairs
		out, points = append(out, t), points+t.Points
	}
	return out, points
}

// penalty is what of the points being late costs, over being how long after the due
// time.
func (l Late) penalty(points float64, over time.Duration) float64 {
	if over <= time.Duration(l.GraceMinutes)*time.Minute {
		return 0
	}
	unit := 24 * time.Hour
	if l.Hourly {
		unit = time.Hour
	}
	percent := math.Ceil(over.Hours()/unit.Hours()) * l.Percent
	if l.Most > 0 {
		percent = min(percent, l.Most)
	}
	return cents(min(points, points*percent/100))
}

// String tells the rules for people.
func (r Rubric) String() string {
	text := fmt.Sprintf("%d points by a rubric", r.Most())
	l := r.Late
	if l.Percent > 0 {
		unit := "day"
		if l.Hourly {
			unit = "hour"
		}
		text += fmt.Sprintf("; %g %% less for each %s after the due time", l.Percent, unit)
		if l.Most > 0 {
			text += fmt.Sprintf(", at most %g %%", l.Most)
		}
		if l.GraceMinutes > 0 {
			text += fmt.Sprintf(", the first %d minutes for nothing", l.GraceMinutes)
		}
	}
	if !l.Closes.IsZero() {
		text += "; no points after " + l.Closes.Format("2006-01-02 15:04 MST")
	}
	if r.Round.To > 0 {
		text += fmt.Sprintf("; rounded to %g", r.Round.To)
		if r.Round.Way != "" && r.Round.Way != Nearest {
			text += " " + strings.ToLower(r.Round.Way)
		}
	}
	return text
}
