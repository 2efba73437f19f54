package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/task/cmdline"
	"tigerflow.dev/tigerflow/task/library"
)

const (
	builtIn   = "built-in"
	installed = "installed"
)

func newTasks() *cobra.Command {
	cmd := &cobra.Command{Use: "tasks", Short: "List library tasks and tell about them"}
	cmd.AddCommand(newTasksList(), newTasksInfo())
	return cmd
}

func newTasksList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the library tasks: built in, and installed with Python packages",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := libraryTasks(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), all)
			}
			verbose, err := cmd.Flags().GetBool("verbose")
			if err != nil {
				return err
			}
			listTasks(cmd.OutOrStdout(), all, verbose)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolP("verbose", "v", false, "show modules")
	return cmd
}

func newTasksInfo() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info NAME",
		Short: "Tell about a library task and its params",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s takes the name of one task, and got %s", cmd.CommandPath(), plural(int64(len(args)), "argument", "arguments"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := findTask(cmd, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), t)
			}
			describeTask(cmd.OutOrStdout(), t)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func findTask(cmd *cobra.Command, name string) (*pythonTask, error) {
	if t, ok := library.Find(name); ok {
		return builtinTask(t)
	}
	t, err := installedTask(cmd.Context(), name)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, cli.UsageError{Err: fmt.Errorf("there is no library task %q: tigerflow tasks list names them", name)}
	}
	return t, nil
}

// libraryTasks lists the builtin tasks, then those of Python that are not builtin as well.
func libraryTasks(cmd *cobra.Command) ([]pythonTask, error) {
	var all []pythonTask
	for _, name := range library.Names() {
		t, _ := library.Find(name)
		b, err := builtinTask(t)
		if err != nil {
			return nil, err
		}
		all = append(all, *b)
	}
	more, err := pythonTasks(cmd.Context())
	if err != nil { // what is here can be listed all the same
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	for _, t := range more {
		if _, twice := library.Find(t.Name); !twice {
			all = append(all, t)
		}
	}
	return all, nil
}

// builtinTask describes a task of the Go library in the same terms.
func builtinTask(t library.Task) (*pythonTask, error) {
	options, err := t.Options()
	if err != nil {
		return nil, err
	}
	b := &pythonTask{Name: t.Name, Source: builtIn, Module: t.Module, Class: t.Class, Description: t.Description, Params: []pythonParam{}}
	for _, o := range options {
		p := pythonParam{Name: o.Name, Flag: o.Spelled(), Type: cmp.Or(strings.ToLower(o.Metavar), "flag"), Default: o.Default, Help: o.Help, Required: o.Required}
		if o.Metavar == cmdline.Flag {
			p.Default = o.Default == "true"
		}
		b.Params = append(b.Params, p)
	}
	return b, nil
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func listTasks(out io.Writer, all []pythonTask, verbose bool) {
	headed := ""
	for _, source := range []string{builtIn, installed} {
		of := slices.DeleteFunc(slices.Clone(all), func(t pythonTask) bool { return t.Source != source })
		slices.SortFunc(of, func(a, b pythonTask) int { return cmp.Compare(a.Name, b.Name) })
		if len(of) == 0 {
			continue
		}
		if headed != "" {
			fmt.Fprintln(out)
		}
		headed = source
		fmt.Fprintf(out, "%s tasks:\n", strings.ToUpper(source[:1])+source[1:])
		for _, t := range of {
			fmt.Fprintln(out, listLine(t, verbose))
		}
	}
}

func listLine(t pythonTask, verbose bool) string {
	line := "  " + t.Name
	if verbose {
		line += ": " + t.Module
	}
	if t.Version != "" {
		line += " (" + t.Version + ")"
	}
	switch text, _, _ := strings.Cut(strings.TrimSpace(t.Description), "\n"); {
	case t.Error != "":
		line += " - cannot be loaded: " + strings.ReplaceAll(t.Error, "\n", "; ")
	case text != "":
		line += " - " + text
	}
	return line
}

func describeTask(out io.Writer, t *pythonTask) {
	fmt.Fprintf(out, "Task: %s\nSource: %s\nModule: %s\n", t.Name, t.Source, t.Module)
	if t.Version != "" {
		fmt.Fprintf(out, "Version: %s\n", t.Version)
	}
	if text := strings.TrimSpace(t.Description); text != "" {
		fmt.Fprintf(out, "\nDescription:\n%s\n", text)
	}
	if t.Error != "" {
		fmt.Fprintf(out, "\nCould not load task details: %s\n", t.Error)
	}
	if len(t.Params) == 0 {
		return
	}
	fmt.Fprintf(out, "\nParameters for %s:\n", t.Class)
	for _, p := range t.Params {
		fmt.Fprintln(out, strings.TrimRight("  "+p.Flag+": "+defaultText(p), " "))
	}
}

// defaultText spells a default as Python does.
func defaultText(p pythonParam) string {
	switch v := p.Default.(type) {
	case bool:
		if v {
			return "True"
		}
		return "False"
	case nil:
		if p.Required {
			return "(required)"
		}
		return "None"
	case string:
		if v == "" && p.Required {
			return "(required)"
		}
		return v
	}
	return fmt.Sprint(p.Default)
}
