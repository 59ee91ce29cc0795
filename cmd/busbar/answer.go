package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
)

// answer is the line that is typed after a question, "" if ctx ends before.
func answer(ctx context.Context, question string) string {
	fmt.Print(question)
	typed := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil { // the terminal has gone
			line = ""
		}
		typed <- line
	}()
	select {
	case line := <-typed:
		return strings.TrimSpace(line)
	case <-ctx.Done():
		fmt.Println()
		return ""
	}
}
