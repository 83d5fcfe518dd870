//go:build cgo && linux

package vk

// #include "shim.h"
import "C"

import (
	"errors"

	"github.com/vulkan-go/vulkan"
)

// instance is one connection to the loader and its drivers.
type instance struct {
	shim   *C.ufm_instance
	handle vulkan.Instance
}

// newInstance connects, with the checks of Options.Validation.
func newInstance(validation string) (*instance, error) {
	get, err := theLoader.load(loaderName)
	if err != nil {
		return nil, err
	}
	validate := map[string]C.uint32_t{
		"": C.UFM_VALIDATE_NONE, "core": C.UFM_VALIDATE_CORE,
		"sync": C.UFM_VALIDATE_SYNC, "gpu": C.UFM_VALIDATE_GPU,
	}[validation]
	in := &instance{}
	switch r := vulkan.Result(C.ufm_instance_new(get, validate, &in.shim)); r {
	case vulkan.Success:
	case vulkan.ErrorIncompatibleDriver:
		return nil, noDevice(nil, "")
	case vulkan.ErrorLayerNotPresent, vulkan.ErrorExtensionNotPresent:
		return nil, errors.New("vk: validation: VK_LAYER_KHRONOS_validation is not installed " +
			"(Debian: vulkan-validationlayers)")
	default:
		return nil, failure("create instance", r)
	}
	in.handle = vulkan.Instance(C.ufm_instance_handle(in.shim))
	if err := theLoader.bind(in.handle); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// close is called once, after everything made from the instance is gone.
func (in *instance) close() { C.ufm_instance_close(in.shim) }

// physicals describes all devices of all drivers. A driver without hardware offers none.
func (in *instance) physicals() ([]*physical, error) {
	var n uint32
	// A driver that fails to start counts as none, so only the number matters.
	if vulkan.EnumeratePhysicalDevices(in.handle, &n, nil); n == 0 {
		return nil, nil
	}
	handles := make([]vulkan.PhysicalDevice, n)
	r := vulkan.EnumeratePhysicalDevices(in.handle, &n, handles)
	if err := failure("list devices", r); err != nil {
		return nil, err
	}
	var all []*physical
	for i, h := range handles[:n] {
		all = append(all, in.describe(i, h))
	}
	return all, nil
}

// Devices lists what there is, also devices that Open would refuse. No devices are no
// error; no loader is.
func Devices() ([]DeviceInfo, error) {
	in, err := newInstance("")
	if errors.Is(err, ErrNoDevice) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer in.close()
	all, err := in.physicals()
	if err != nil {
		return nil, err
	}
	var infos []DeviceInfo
	for _, p := range all {
		infos = append(infos, p.info)
	}
	return infos, nil
}
