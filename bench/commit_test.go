package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestStampedCommit(t *testing.T) {
	for want, settings := range map[string][]debug.BuildSetting{
		"-":            {{Key: "vcs.modified", Value: "true"}},
		"abc":          {{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}},
		"abc+modified": {{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}},
	} {
		if got := show(stampedCommit(settings), same); got != want {
			t.Errorf("%v: got %s, want %s", settings, got, want)
		}
	}
}

func TestMadeByGoRun(t *testing.T) {
	for exe, want := range map[string]bool{
		"/tmp/go-build123/b001/exe/ufm":          true,
		"/home/me/.cache/go-build/1f/1f00-d/ufm": true,
		"/tmp/go-build123/b001/bench.test":       false,
		"/home/me/ufm/ufm":                       false,
		"/usr/local/bin/ufm":                     false,
	} {
		if got := madeByGoRun(exe); got != want {
			t.Errorf("%s: got %v", exe, got)
		}
	}
}

// The commit of a repository is that of the module in it, or unknown.
func TestRepositoryCommit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("SKIPPED: there is no git")
	}
	dir := t.TempDir()
	git := func(arguments ...string) string {
		c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b"}, arguments...)...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", arguments, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(module, want string) {
		t.Helper()
		if got := show(repositoryCommit(dir, module), same); got != want {
			t.Errorf("module %s: got %s, want %s", module, got, want)
		}
	}
	check("ufm", unknown) // no repository
	git("init", "-q")
	write("go.mod", "module ufm\n\ngo 1.26\n")
	check("ufm", unknown) // no commit
	git("add", ".")
	git("commit", "-qm", "a")
	head := git("rev-parse", "HEAD")
	check("ufm", head)
	check("uf", unknown)
	write("rows.jsonl", "{}")
	check("ufm", head)
	write("go.mod", "module ufm\n")
	check("ufm", head+"+modified")
}
