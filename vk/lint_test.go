package vk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const binding = "github.com/vulkan-go/vulkan"

// unsafeCalls are the functions of the binding that take a slice of structs, or fill one.
// Each copies the slice to C memory that a finalizer frees, which may run during the call.
var unsafeCalls = strings.Fields(`
	CmdBlitImage CmdClearAttachments CmdClearColorImage CmdClearDepthStencilImage
	CmdCopyBuffer CmdCopyBufferToImage CmdCopyImage CmdCopyImageToBuffer
	CmdPipelineBarrier CmdResolveImage CmdSetScissor CmdSetViewport CmdWaitEvents
	CreateComputePipelines CreateGraphicsPipelines CreateSharedSwapchains
	EnumerateDeviceExtensionProperties EnumerateDeviceLayerProperties
	EnumerateInstanceExtensionProperties EnumerateInstanceLayerProperties
	FlushMappedMemoryRanges GetDisplayModeProperties GetImageSparseMemoryRequirements
	GetPhysicalDeviceDisplayPlaneProperties GetPhysicalDeviceDisplayProperties
	GetPhysicalDeviceQueueFamilyProperties GetPhysicalDeviceSparseImageFormatProperties
	GetPhysicalDeviceSurfaceFormats InvalidateMappedMemoryRanges QueueBindSparse
	QueueSubmit UpdateDescriptorSets`)

// endlessCalls wait without limit, or load a library under a name that only -dev packages
// have.
var endlessCalls = strings.Fields(`
	DeviceWaitIdle QueueWaitIdle SetDefaultGetInstanceProcAddr`)

// TestRepositoryUsesVulkanSafely reads every Go file: unsafe code stays in this package,
// and nobody calls what the binding does unsafely.
func TestRepositoryUsesVulkanSafely(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := map[string]bool{}
	for _, name := range append(unsafeCalls, endlessCalls...) {
		forbidden[name] = true
	}
	files, ours := 0, 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files++
		inside := strings.HasPrefix(rel, "vk"+string(filepath.Separator))
		if inside {
			ours++
		}
		for _, problem := range lintFile(t, path, inside, forbidden) {
			t.Errorf("%s: %s", rel, problem)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files <= ours || ours < 20 {
		t.Errorf("read %d files, %d of this package: that is not the repository", files, ours)
	}
}

// lintFile returns what is wrong with one file.
func lintFile(t *testing.T, path string, inside bool, forbidden map[string]bool) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	name := "" // under which the file knows the binding
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case !inside && (imported == "C" || imported == "unsafe" || imported == binding):
			problems = append(problems, "only package vk may import "+imported)
		case imported == binding && spec.Name != nil:
			problems = append(problems, "the binding is imported under its own name")
		case imported == binding:
			name = "vulkan"
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == name && forbidden[s.Sel.Name] {
			problems = append(problems, "vulkan."+s.Sel.Name+" is not safe: use the shim")
		}
		return true
	})
	return problems
}

// The test above must be able to fail.
func TestLintFindsMistakes(t *testing.T) {
	forbidden := map[string]bool{"QueueSubmit": true}
	const bad = "testdata/lint/bad.go.txt"
	for _, inside := range []bool{false, true} {
		got := strings.Join(lintFile(t, bad, inside, forbidden), "; ")
		want := "vulkan.QueueSubmit is not safe: use the shim"
		if !inside {
			want = `only package vk may import unsafe; only package vk may import ` + binding
		}
		if got != want {
			t.Errorf("inside %v: got %q, want %q", inside, got, want)
		}
	}
}
