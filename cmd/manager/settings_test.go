package main

import (
	"bytes"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/internal/cli"
)

func TestFlagsThatAreWrong(t *testing.T) {
	for flag, want := range map[string]string{
		"--uid=0":                           `error: --uid "0": give a number from 1 to 2147483647`,
		"--gid=staff":                       `error: --gid "staff": give a number from 1 to 2147483647`,
		"--groups=1,x":                      `error: --groups "x": give a number from 1 to 2147483647`,
		"--image-pull-policy=Sometimes":     `error: --image-pull-policy "Sometimes": give IfNotPresent, Always, Never`,
		"--worker-image=a b":                `error: --worker-image "a b": give the reference of an image`,
		"--dispatcher-requests=cpu":         `error: --dispatcher-requests: "cpu": give it as cpu=100m,memory=1Gi`,
		"--dispatcher-limits=memory=plenty": `error: --dispatcher-limits: "memory=plenty": give it as cpu=100m,memory=1Gi`,
		"--kubeconfig=/nowhere":             "error: kubeconfig: ",
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), []string{flag}, &stderr, &stderr); code != cli.ExitUsage || !strings.HasPrefix(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: %d %s", flag, code, stderr.String())
		}
	}
}
