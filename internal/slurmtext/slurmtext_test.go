package slurmtext

import (
	"testing"
	"time"
)

func TestTime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Minute, "90:30": 90*time.Minute + 30*time.Second, "02:00:00": 2 * time.Hour, "12:00:00": 12 * time.Hour,
		"1-0": 24 * time.Hour, "1-12": 36 * time.Hour, "1-12:30": 36*time.Hour + 30*time.Minute, "0-00:01:05": 65 * time.Second,
		"": 0, "0": 0, "1:2:3:4": 0, "1-1:2:3:4": 0, "2h": 0, "-1": 0, "9999-0": 0, "1-": 0, "99999999999999": 0,
		"5124095:34:34": 0, "213503-23:34:33": 0, // they would wrap around
	} {
		got, err := Time(text)
		if got != want && err == nil || (err == nil) != (want > 0) {
			t.Errorf("%q: %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestMemory(t *testing.T) {
	for text, want := range map[string]int64{
		"12G": 12 << 30, "12GB": 12 << 30, "12 GiB": 12 << 30, "500M": 500 << 20, "1.5k": 1536, "0.1K": 103, "1T": 1 << 40, "1024T": 1 << 50,
		"": 0, "8": 0, "0G": 0, "1025T": 0, "-1G": 0, "1e3M": 0, "G": 0, "12Gx": 0, "99999999999999999999T": 0,
	} {
		got, err := Memory(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
}

func FuzzTime(f *testing.F) {
	f.Add("1-12:30:00")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := Time(text); err == nil && (d < time.Minute || d > 8760*time.Hour) {
			t.Errorf("%q: %s", text, d)
		}
	})
}
