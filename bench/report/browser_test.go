package report

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a Chromium, or the test is skipped; in CI there must be one.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no Chromium (scripts/browser.sh installs it)")
	}
	t.Skip("SKIPPED: there is no Chromium (scripts/browser.sh installs it)")
	return ""
}

// state is what the page says of itself. Plots must be loaded, be of the right scheme
// and lie within the width of the window.
const state = `({
	plots: document.images.length,
	loaded: [...document.images].filter(i => i.complete && i.naturalWidth > 100).length,
	fitting: [...document.images].filter(i => {
		const box = i.getBoundingClientRect();
		return box.width > 250 && box.height > 150 && box.left >= 0 && box.right <= window.innerWidth;
	}).length,
	scheme: [...document.images].filter(i => i.currentSrc ===
		(matchMedia("(prefers-color-scheme: dark)").matches ?
			i.parentElement.querySelector("source").srcset : i.src)).length,
	wider: document.documentElement.scrollWidth > window.innerWidth,
	back: getComputedStyle(document.body).backgroundColor,
})`

type pageState struct {
	Plots, Loaded, Fitting, Scheme int
	Wider                          bool
	Back                           string
}

// The page opens in a real browser without complaints and shows its plots, narrow and
// wide, light and dark. UFM_SCREENSHOTS names a folder to keep pictures in.
func TestBrowser(t *testing.T) {
	path := browser(t)
	dir := newFolder(t, "seed", "budget")
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	defer stop()
	var mu sync.Mutex
	var complaints []string
	ctx, stop = chromedp.NewContext(ctx, chromedp.WithListener(func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, "console: "+e.Type.String())
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			complaints = append(complaints, e.Entry.Text)
		}
	}))
	defer stop()
	ctx, stop = context.WithTimeout(ctx, time.Minute)
	defer stop()
	for _, width := range []int64{400, 1400} {
		for scheme, back := range map[string]string{
			"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)",
		} {
			got, picture := open(t, ctx, "file://"+filepath.Join(dir, HTMLFile), width, scheme)
			name := fmt.Sprintf("%s at %d pixels", scheme, width)
			if got.Plots < 7 || got.Loaded != got.Plots || got.Fitting != got.Plots || got.Scheme != got.Plots {
				t.Errorf("%s: %+v, want all plots loaded, fitting and of the scheme", name, got)
			}
			if got.Wider || got.Back != back {
				t.Errorf("%s: %+v, want background %s and nothing wider than the window", name, got, back)
			}
			keep(t, fmt.Sprintf("report-%s-%d.png", scheme, width), picture)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(complaints) > 0 {
		t.Errorf("the browser complains: %q", complaints)
	}
}

func open(t *testing.T, ctx context.Context, url string, width int64, scheme string) (s pageState, png []byte) {
	t.Helper()
	feature := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: scheme}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{feature}})
	if err == nil {
		err = chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate(url))
	}
	if err == nil {
		s, err = chromedp.Run(ctx, chromedp.Evaluate[pageState](state))
	}
	if err == nil {
		png, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, png
}

// keep writes a picture where somebody wants to look at it.
func keep(t *testing.T, name string, png []byte) {
	t.Helper()
	dir := os.Getenv("UFM_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
