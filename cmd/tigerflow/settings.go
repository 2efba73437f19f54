package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/joho/godotenv"

	"tigerflow.dev/tigerflow/internal/cli"
)

// settings are TigerFlow's own, from the environment or, as it reads them, from .env in the current folder or the file that
// TIGERFLOW_ENV_FILE names. Those of how often it polls mean nothing here.
type settings map[string]string

func readSettings() (settings, error) {
	file := ".env"
	if named := os.Getenv("TIGERFLOW_ENV_FILE"); named != "" {
		file = named
	}
	s, err := godotenv.Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an absent file has no settings, there as here
		return nil, cli.UsageError{Err: fmt.Errorf("%s: %w", file, err)}
	}
	return s, nil
}

// workerIdle is how long a Slurm worker waits for work before it leaves: TigerFlow removes one after so many looks, which are
// so many seconds apart.
func (s settings) workerIdle() (time.Duration, error) {
	interval, err := s.number("TIGERFLOW_SLURM_TASK_SCALE_INTERVAL", 15)
	if err != nil {
		return 0, err
	}
	looks, err := s.number("TIGERFLOW_SLURM_TASK_SCALE_WAIT_COUNT", 8)
	return time.Duration(interval*looks) * time.Second, err
}

func (s settings) number(name string, standard uint64) (uint64, error) {
	text, ok := os.LookupEnv(name)
	if !ok {
		text = s[name]
	}
	if text == "" {
		return standard, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, cli.UsageError{Err: fmt.Errorf("%s=%q: give a whole number from 1 to 65535, or unset it", name, text)}
	}
	return n, nil
}
