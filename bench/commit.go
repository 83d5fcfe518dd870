package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
)

// Commit is the revision that this binary was built from, with "+modified" if the tree
// had changes; nil if that is not known. The go command stamps it into what go build makes,
// but not into what go run makes: there the repository is asked that it was made from.
var Commit = sync.OnceValue(func() *string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	if stamped := stampedCommit(info.Settings); stamped != nil {
		return stamped
	}
	exe, err := os.Executable()
	if err != nil || !madeByGoRun(exe) {
		return nil // made somewhere, some time: today's repository tells nothing of it
	}
	return repositoryCommit(".", info.Main.Path)
})

func stampedCommit(settings []debug.BuildSetting) *string {
	values := map[string]string{}
	for _, s := range settings {
		values[s.Key] = s.Value
	}
	return revision(values["vcs.revision"], values["vcs.modified"] == "true")
}

func revision(name string, modified bool) *string {
	if name == "" {
		return nil
	}
	if modified {
		name += "+modified"
	}
	return &name
}

// madeByGoRun tells whether a program lies where the go command keeps what it makes and
// runs at once: its cache, or a temporary folder of its own. Tests lie there, too, but
// their rows are nobody's results.
func madeByGoRun(exe string) bool {
	return strings.Contains(filepath.ToSlash(exe), "/go-build") && !strings.HasSuffix(exe, ".test")
}

// repositoryCommit asks git for the revision of the repository around dir, if it is that
// of the module. Files that git does not know do not count: results may be among them.
func repositoryCommit(dir, module string) *string {
	git := func(arguments ...string) (string, bool) {
		out, err := exec.Command("git", append([]string{"-C", dir}, arguments...)...).Output()
		return strings.TrimSpace(string(out)), err == nil
	}
	top, ok := git("rev-parse", "--show-toplevel")
	if !ok {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(top, "go.mod"))
	line := regexp.MustCompile(`(?m)^module\s+` + regexp.QuoteMeta(module) + `\s*$`)
	if err != nil || !line.Match(text) {
		return nil
	}
	head, ok := git("rev-parse", "HEAD")
	changes, known := git("status", "--porcelain", "--untracked-files=no")
	if !ok || !known {
		return nil
	}
	return revision(head, changes != "")
}
