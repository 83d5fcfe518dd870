//go:build !cgo || !linux

package vk

// Device exists in this build only so that code can name it.
type Device struct{}

// Devices returns ErrNoCgo in this build.
func Devices() ([]DeviceInfo, error) { return nil, ErrNoCgo }

// Open returns ErrNoCgo in this build.
func Open(Options) (*Device, error) { return nil, ErrNoCgo }

// ValidationMessages has nothing to tell in this build.
func ValidationMessages() (count int, text string) { return 0, "" }
