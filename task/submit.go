package task

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/standalone"
)

// submit becomes tigerflow, which runs the workers of a Slurm task as jobs. It returns if that fails.
func submit(s standalone.Spec) error {
	engine, err := exec.LookPath(cmp.Or(os.Getenv("TIGERFLOW_BIN"), "tigerflow"))
	if err != nil {
		return &standalone.UsageError{Message: s.TaskName + " is a Slurm task, whose jobs the program tigerflow submits: " +
			"add the folder that holds it to the PATH, or name it in TIGERFLOW_BIN"}
	}
	file, err := os.CreateTemp("", "tigerflow-*.json")
	if err != nil {
		return fmt.Errorf("writing down the task: %w", err)
	}
	err = errors.Join(os.Remove(file.Name()), json.NewEncoder(file).Encode(s))
	_, seekErr := file.Seek(0, 0)
	_, inheritErr := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0)
	if err = errors.Join(err, seekErr, inheritErr); err != nil {
		return fmt.Errorf("writing down the task: %w", errors.Join(err, file.Close()))
	}
	err = syscall.Exec(engine, []string{"tigerflow", "task", "exec", "--spec-fd", strconv.Itoa(int(file.Fd()))}, os.Environ())
	return fmt.Errorf("running %s: %w", engine, errors.Join(err, file.Close()))
}
