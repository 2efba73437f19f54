// Package spooltest judges the spools that tests leave behind.
package spooltest

import (
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// Check fails the test if the spool in dir breaks one of its rules. It is made for the Cleanup of a test that ran
// dispatchers or workers, after they have ended.
func Check(t testing.TB, dir string) {
	t.Helper()
	report, err := spool.Check(dir)
	if err != nil {
		t.Errorf("the spool cannot be checked: %v", err)
		return
	}
	for _, p := range report.Problems {
		t.Errorf("the spool breaks a rule: %s", p)
	}
	for _, n := range report.Notes {
		t.Logf("the spool has an oddity: %s", n)
	}
}
