package sweep

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"ufm/bench"
)

// ChildError is a child that ended without an answer.
type ChildError struct {
	Code int    // its exit status; -1: a signal
	Text string // what it said, and how it ended
}

// Error is what the child said.
func (e *ChildError) Error() string { return e.Text }

// verdict is how a child's current cell ended if it was not by a row.
type verdict struct {
	status bench.Status
	text   string
	all    bool // the cells after it, too
}

// process is a running child.
type process struct {
	command  *exec.Cmd
	stdin    io.Closer
	messages chan message // closed at its end
	stderr   tail
	oomKills int64
}

// start runs a child with a request. Its standard input stays open until stop.
func start(argv []string, r request) (*process, error) {
	p := &process{
		command: exec.Command(argv[0], argv[1:]...), messages: make(chan message),
		oomKills: oomKills(),
	}
	stdin, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdin, p.command.Stderr = stdin, &p.stderr
	apart(p.command)
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("sweep: start a child: %w", err)
	}
	go p.read(stdout)
	if err := json.NewEncoder(stdin).Encode(r); err != nil {
		p.kill()
		return nil, fmt.Errorf("sweep: ask a child: %w", err)
	}
	return p, nil
}

// read passes messages on. A line that is none is the child's death throes.
func (p *process) read(stdout io.Reader) {
	defer close(p.messages)
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(line, &m) == nil {
			p.messages <- m
		}
	}
}

// kill ends the child now and waits for its end.
func (p *process) kill() {
	_ = p.command.Process.Kill() // it may be gone already
	for range p.messages {
	}
	_ = p.wait()
}

// finish gives the child a while to free what it holds, now that its answers are here.
func (p *process) finish() {
	const patience = 20 * time.Second
	timer := time.AfterFunc(patience, func() { _ = p.command.Process.Kill() })
	defer timer.Stop()
	for range p.messages {
	}
	_ = p.wait()
}

func (p *process) wait() error {
	_ = p.stdin.Close()
	return p.command.Wait()
}

// attend hands messages on until one is the answer to the current cell. Silence that
// is too long ends the child; the building of the bank is no silence.
func (p *process) attend(
	ctx context.Context, limit time.Duration, on func(message),
) (*finished, *verdict, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	doing := "start"
	for {
		select {
		case <-ctx.Done():
			p.kill()
			return nil, nil, ctx.Err()
		case <-timer.C:
			p.kill()
			return nil, &verdict{status: bench.StatusTimeout, text: fmt.Sprintf(
				"no result within %v; it was at %s", limit, doing)}, nil
		case m, ok := <-p.messages:
			switch {
			case !ok:
				return nil, p.autopsy(doing), nil
			case m.Row != nil:
				return m.Row, nil, nil
			case m.Failed != nil:
				p.finish()
				return nil, &verdict{status: m.Failed.Status, text: m.Failed.Error, all: true}, nil
			case m.Progress != nil:
				doing = m.Progress.What
				if doing == bench.BuildingBank {
					timer.Reset(limit)
				}
			}
			on(m)
		}
	}
}

// autopsy tells how a child ended that should not have.
func (p *process) autopsy(doing string) *verdict {
	err := p.wait()
	v := &verdict{status: bench.StatusCrashed}
	said := p.stderr.last()
	if memoryGone(said) || killed(err) && oomKills() > p.oomKills {
		v.status = bench.StatusOOM
		said = strings.TrimSpace("host memory was exhausted; " + said)
	}
	v.text = strings.TrimSuffix(fmt.Sprintf("the process ended (%s) at %s: %s", ending(err), doing, said), ": ")
	return v
}

func ending(err error) string {
	if err == nil {
		return "exit status 0, but no row"
	}
	return err.Error()
}

// memoryGone tells whether Go's runtime ended a process for want of memory.
func memoryGone(said string) bool {
	return strings.Contains(said, "runtime: out of memory") ||
		strings.Contains(said, "cannot allocate memory")
}

// killed tells whether a process ended by a signal that cannot be caught.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// oomKills counts the processes that the kernel ended for want of memory, here or in
// this container; 0 where it does not tell.
func oomKills() int64 {
	var most int64
	for _, path := range []string{"/proc/vmstat", "/sys/fs/cgroup/memory.events"} {
		most += counter(path, "oom_kill")
	}
	return most
}

// tail keeps the end of what a child says.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 16 << 10
	t.text = append(t.text, p...)
	t.text = bytes.TrimPrefix(t.text, t.text[:max(0, len(t.text)-most)])
	return len(p), nil
}

// whole is all of it, without the prefix that a command gives its lines.
func (t *tail) whole() string {
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "ufm: ")
	}
	return strings.Join(lines, "\n")
}

// last is the line that tells most: a runtime's first words before its stacks, else the
// last line.
func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "fatal error:") || strings.HasPrefix(line, "panic:") ||
			strings.HasPrefix(line, "SIG") {
			return line
		}
	}
	return strings.TrimPrefix(lines[len(lines)-1], "ufm: ")
}
