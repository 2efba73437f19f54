package scaling

import (
	"fmt"
	"strings"
	"time"
)

// message reads like "3 workers: 120 files at 15 s each, target 10m".
func (d *decision) message() string {
	in := d.in
	text := plural(d.workers, "worker") + ": " + in.describe()
	wanted := fmt.Sprintf("%s; %d wanted", text, d.wanted)
	switch d.reason {
	case Idle:
		switch {
		case d.workers == 0:
			return text
		case d.workers <= in.Min:
			return fmt.Sprintf("%s, minWorkers is %d", text, in.Min)
		}
		return text + "; the rest end when they are idle"
	case SlowStart:
		return text + ", the first shows how long one takes"
	case Enough:
		return text + ", done before another worker could begin"
	case MinWorkers:
		return fmt.Sprintf("%s; minWorkers is %d", text, in.Min)
	case WindingDown:
		return text + "; the rest end when they are idle"
	case MaxWorkers:
		return fmt.Sprintf("%s, maxWorkers is %d", wanted, in.Max)
	case NoRoom:
		return fmt.Sprintf("%s, maxWorkers is %d with %d that drain and %d that are held", wanted, in.Max, in.Draining, in.Held)
	case MaxPending:
		return fmt.Sprintf("%s, %d at once may wait to start (maxPending)", wanted, in.MaxPending)
	case MaxQueued:
		return fmt.Sprintf("%s, those before wait in the queue (maxPending is %d)", wanted, in.MaxQueued)
	case Doubling:
		return fmt.Sprintf("%s, the next start is at most twice as large as the largest that has begun", wanted)
	default:
		return text
	}
}

func (in Input) describe() string {
	files := in.Backlog + in.InHand
	if files == 0 {
		return "no files wait"
	}
	text := plural(files, "file")
	if in.PerFile == 0 {
		return text
	}
	text += " at " + short(in.PerFile) + " each"
	if in.Concurrency > 1 {
		text += fmt.Sprintf(", %d at once", in.Concurrency)
	}
	if in.DrainTarget > 0 {
		text += ", target " + short(in.DrainTarget)
	}
	return text
}

func plural(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short gives two or three digits, as much as matters to people.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	text := d.Truncate(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
