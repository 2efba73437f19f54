package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// slurm reads max_workers and worker_resources. The first releases had both in resources.
func (r *reader) slurm(m *mapping, task *v1alpha1.PipelineTask) {
	line := m.line
	n := m.take("worker_resources")
	where := "worker_resources"
	if old := m.take("resources"); n == nil && old != nil {
		n, where = old, "resources"
	}
	holder := m
	if n == nil {
		r.fault(line, "%s: worker_resources is missing: kind slurm needs cpus, memory and time", m.what)
		m.take("max_workers")
		return
	}
	res := r.mapping(n, m.what+": "+where)
	if res.values["max_workers"] != nil {
		holder = res
	}
	if holder.values["max_workers"] == nil {
		r.fault(line, "%s: max_workers is missing: kind slurm needs it", m.what)
	}
	task.Scaling = &v1alpha1.Scaling{MaxWorkers: int32(holder.number("max_workers", 1, maxWorkers, 1))}
	if idle := r.options.WorkerIdle; idle > 0 && idle != v1alpha1.DefaultWorkerIdleTimeout {
		task.Scaling.WorkerIdleTimeout = &metav1.Duration{Duration: idle}
	}
	if res.values["cpus"] == nil {
		r.fault(res.line, "%s: cpus is missing", res.what)
	}
	task.Resources = &v1alpha1.Resources{CPUs: int32(res.number("cpus", 1, 4096, 1))}
	if gpus := res.number("gpus", 0, 1024, 0); gpus > 0 {
		g := int32(gpus)
		task.Resources.GPUs = &g
	}
	task.Resources.Memory = r.memory(res)
	task.Slurm = &v1alpha1.Slurm{Time: r.time(res)}
	if options := res.take("sbatch_options"); options != nil {
		for _, option := range r.sequence(options, res.line, res.what+": sbatch_options") {
			task.Slurm.SbatchOptions = append(task.Slurm.SbatchOptions, strings.TrimSpace(option.Value))
		}
	}
	res.rest()
}

var memoryText = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([kmgtKMGT])i?[bB]?$`)

// memory reads an amount as Slurm does: G is 2³⁰ bytes, with or without B.
func (r *reader) memory(res *mapping) *resource.Quantity {
	line := res.lines["memory"]
	text := res.required("memory")
	if text == "" {
		return nil
	}
	parts := memoryText.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		r.fault(line, "%s: memory %q: give a number and a unit, such as 8G or 500M", res.what, text)
		return nil
	}
	shift := 10 * (1 + strings.IndexByte("KMGT", strings.ToUpper(parts[2])[0]))
	amount, err := strconv.ParseFloat(parts[1], 64)
	bytes := math.Ceil(amount * float64(int64(1)<<shift))
	if err != nil || bytes < 1 || bytes > 1<<50 {
		r.fault(line, "%s: memory %q: it must be more than 0 and at most 1024T", res.what, text)
		return nil
	}
	return resource.NewQuantity(int64(bytes), resource.BinarySI)
}

// time reads a wall time in the formats of sbatch --time.
func (r *reader) time(res *mapping) metav1.Duration {
	line := res.lines["time"]
	text := res.required("time")
	if text == "" {
		return metav1.Duration{}
	}
	d, err := slurmTime(text)
	if err != nil {
		r.fault(line, "%s: time %q: %s", res.what, text, err)
	}
	return metav1.Duration{Duration: d}
}

// slurmTime reads MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS, DAYS-HOURS:MINUTES and
// DAYS-HOURS:MINUTES:SECONDS, as the man page of sbatch has them.
func slurmTime(text string) (time.Duration, error) {
	const forms = "give HOURS:MINUTES:SECONDS, such as 02:00:00, or DAYS-HOURS"
	days, clock, hasDays := strings.Cut(text, "-")
	if !hasDays {
		days, clock = "0", text
	}
	parts := strings.Split(clock, ":")
	units := map[int][]time.Duration{
		1: {time.Minute}, 2: {time.Minute, time.Second}, 3: {time.Hour, time.Minute, time.Second},
	}[len(parts)]
	if hasDays {
		units = []time.Duration{time.Hour, time.Minute, time.Second}
	}
	if len(units) < len(parts) {
		return 0, fmt.Errorf("it has too many parts: %s", forms)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	total := time.Duration(n) * 24 * time.Hour
	for i, part := range parts {
		v, e := strconv.ParseUint(part, 10, 32)
		if err != nil || e != nil {
			return 0, fmt.Errorf("it is no time: %s", forms)
		}
		total += time.Duration(v) * units[i]
	}
	if total < time.Minute || total > 8760*time.Hour {
		return 0, fmt.Errorf("it must be at least a minute and at most a year: %s", forms)
	}
	return total, nil
}
