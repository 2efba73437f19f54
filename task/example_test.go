package task_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Greet puts a greeting before the content of a file. The main function of its program is task.Main[Greet]().
type Greet struct {
	Greeting  string `param:"greeting" default:"Hello" help:"Greeting to prepend"`
	Uppercase bool   `param:"uppercase" help:"Convert to uppercase"`

	separator string // made by Setup, the same for all files
}

// Setup runs once; the params are set by then.
func (g *Greet) Setup(context.Context) error {
	g.separator = ", "
	return nil
}

// Run is called for every file, each time on a copy of the struct.
func (g Greet) Run(_ context.Context, input, output string) error {
	content, err := os.ReadFile(input)
	if err != nil {
		return err
	}
	text := string(content)
	if g.Uppercase {
		text = strings.ToUpper(text)
	}
	return os.WriteFile(output, []byte(g.Greeting+g.separator+text), 0o644)
}

// A task is an ordinary value: its own tests make one, set it up and run it.
func Example() {
	dir, err := os.MkdirTemp("", "greet")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	input, output := filepath.Join(dir, "in.txt"), filepath.Join(dir, "out.txt")
	if err := os.WriteFile(input, []byte("world"), 0o644); err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	greet := Greet{Greeting: "Hello", Uppercase: true}
	if err := greet.Setup(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if err := greet.Run(ctx, input, output); err != nil {
		fmt.Println(err)
		return
	}
	content, err := os.ReadFile(output)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(content))
	// Output: Hello, WORLD
}
