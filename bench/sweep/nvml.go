//go:build cgo && linux

package sweep

import "github.com/NVIDIA/go-nvml/pkg/nvml"

// cards asks NVIDIA's driver for all of its cards; none where there is no such driver.
func cards() []Card {
	if nvml.Init() != nvml.SUCCESS {
		return nil
	}
	defer nvml.Shutdown()
	count, status := nvml.DeviceGetCount()
	if status != nvml.SUCCESS {
		return nil
	}
	driver, _ := nvml.SystemGetDriverVersion()
	var all []Card
	for i := range count {
		if d, status := nvml.DeviceGetHandleByIndex(i); status == nvml.SUCCESS {
			all = append(all, describeCard(d, driver))
		}
	}
	return all
}

func describeCard(d nvml.Device, driver string) Card {
	name, _ := d.GetName()
	c := Card{
		Name: name, Driver: driver,
		LinkGen: known(d.GetCurrPcieLinkGeneration()), LinkWidth: known(d.GetCurrPcieLinkWidth()),
		MaxLinkGen: known(d.GetMaxPcieLinkGeneration()), MaxLinkWidth: known(d.GetMaxPcieLinkWidth()),
		PowerW: watts(d.GetPowerUsage()), PowerLimitW: watts(d.GetEnforcedPowerLimit()),
	}
	if m, status := d.GetMemoryInfo(); status == nvml.SUCCESS {
		c.MemoryBytes = new(int64(m.Total))
	}
	c.ClockMHz = count(d.GetClockInfo(nvml.CLOCK_SM))
	c.MemoryMHz = count(d.GetClockInfo(nvml.CLOCK_MEM))
	c.TemperatureC = count(d.GetTemperature(nvml.TEMPERATURE_GPU))
	if mode, status := d.GetPersistenceMode(); status == nvml.SUCCESS {
		c.PersistenceOn = new(mode == nvml.FEATURE_ENABLED)
	}
	return c
}

func known(v int, status nvml.Return) *int {
	if status != nvml.SUCCESS {
		return nil
	}
	return &v
}

func count(v uint32, status nvml.Return) *int { return known(int(v), status) }

func watts(milli uint32, status nvml.Return) *float64 {
	if status != nvml.SUCCESS {
		return nil
	}
	return new(float64(milli) / 1000)
}
