package handler

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// What user code leaves in the background becomes a child of this process, whose number nobody else gives back.
func TestReapOrphans(t *testing.T) {
	var f fixture
	f.T = t
	out, err := exec.Command("sh", "-c", "sleep 0 >&- & echo $!; setsid sleep 0 >&- & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	for orphan := range strings.FieldsSeq(string(out)) {
		f.waitFor("the orphan's end", func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", orphan))
			return err != nil || strings.Contains(string(stat), ") Z ")
		})
	}
	ReapOrphans()
	for orphan := range strings.FieldsSeq(string(out)) {
		if _, err := os.Stat("/proc/" + orphan); err == nil {
			t.Errorf("orphan %s is still there", orphan)
		}
	}
}

// Children of its own are waited for by who has started them.
func TestReapOrphansLeavesChildren(t *testing.T) {
	done := make(chan struct{})
	var reaping sync.WaitGroup
	reaping.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				ReapOrphans()
			}
		}
	})
	for range 100 {
		c, err := startChild(context.Background(), launch{argv: []string{"/bin/sh", "-c", "exit 3"}})
		if err != nil {
			t.Fatal(err)
		}
		<-c.dead
		if e := c.exit(); e.Code != 3 {
			t.Fatalf("exit %+v, want 3", e)
		}
	}
	close(done)
	reaping.Wait()
}
