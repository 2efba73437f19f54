// Package slurmtext reads amounts as people write them for Slurm.
package slurmtext

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var memoryText = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([kmgtKMGT])i?[bB]?$`)

// Memory reads an amount of memory, in bytes, as Slurm does: G is 2³⁰ bytes, with or without B. It is at most 2⁵⁰.
func Memory(text string) (int64, error) {
	parts := memoryText.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return 0, errors.New("give a number and a unit, such as 8G or 500M")
	}
	shift := 10 * (1 + strings.IndexByte("KMGT", strings.ToUpper(parts[2])[0]))
	amount, err := strconv.ParseFloat(parts[1], 64)
	bytes := math.Ceil(amount * float64(int64(1)<<shift))
	if err != nil || bytes < 1 || bytes > 1<<50 {
		return 0, errors.New("it must be more than 0 and at most 1024T")
	}
	return int64(bytes), nil
}

// Time reads a wall time: MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS, DAYS-HOURS:MINUTES and
// DAYS-HOURS:MINUTES:SECONDS, as the man page of
// sbatch has --time. It is from one minute to a year.
func Time(text string) (time.Duration, error) {
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
	n, err := strconv.ParseUint(days, 10, 14) // so few bits that no sum wraps around
	total := time.Duration(n) * 24 * time.Hour
	for i, part := range parts {
		v, e := strconv.ParseUint(part, 10, 20)
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
