package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"ufm/internal/hardware"
	"ufm/moe"
	"ufm/vk"
)

// printDevice prints one device, its heaps and its queues.
func printDevice(w io.Writer, d vk.DeviceInfo) {
	fmt.Fprintf(w, "vulkan %d: %s\n", d.Index, d.Name)
	fmt.Fprintf(w, "  %s, Vulkan %s, driver %s\n", d.Kind, d.API, d.Driver)
	for i, h := range d.Heaps {
		where := "host"
		if h.DeviceLocal {
			where = "device"
		}
		fmt.Fprintf(w, "  heap %d: %s, %s", i, where, sizeOf(h.Size))
		if d.MemoryBudget {
			fmt.Fprintf(w, ", budget %s, used %s", sizeOf(h.Budget), sizeOf(h.Used))
		}
		fmt.Fprintln(w)
	}
	for _, q := range d.Queues {
		fmt.Fprintf(w, "  queues %d: %d × %s\n", q.Index, q.Count, abilities(q))
	}
	fmt.Fprintf(w, "  subgroups of %d, %s shared memory, allocations to %s\n",
		d.SubgroupSize, sizeOf(int64(d.MaxSharedMemory)), sizeOf(d.MaxAllocation))
	var notes []string
	if len(d.Matrices) > 0 {
		notes = append(notes, "cooperative matrices "+matrices(d.Matrices))
	}
	if d.Unified {
		notes = append(notes, "memory shared with the host: paging gains nothing there")
	}
	if len(notes) > 0 {
		fmt.Fprintf(w, "  %s\n", strings.Join(notes, "; "))
	}
}

// matrices lists shapes once each, with operands and result.
func matrices(shapes []vk.MatrixShape) string {
	var names []string
	for _, m := range shapes {
		name := fmt.Sprintf("%d×%d×%d %s→%s", m.M, m.N, m.K, m.A, m.Result)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// abilities names what a queue family can do.
func abilities(q vk.QueueFamily) string {
	var names []string
	for _, ability := range []struct {
		has  bool
		name string
	}{
		{q.Graphics, "graphics"}, {q.Compute, "compute"}, {q.Transfer, "transfer"},
		{q.TimestampBits > 0, "timestamps"},
	} {
		if ability.has {
			names = append(names, ability.name)
		}
	}
	if names == nil {
		return "other work"
	}
	return strings.Join(names, ", ")
}

// printCPU prints the backend that is always there.
func printCPU(w io.Writer, d moe.Device) {
	fmt.Fprintf(w, "cpu: %s (%s), %s\n", d.Name, d.Driver, sizeOf(d.MemBytes))
}

// printCeilings prints the rates that limits are made from.
func printCeilings(w io.Writer, all []hardware.Ceilings) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{
		"ceilings", "device", "read GB/s", "link GB/s", "back GB/s", "f32 TFLOP/s",
		"bf16 matrix", "f16 matrix", "measured",
	})
	for _, c := range all {
		t.AppendRow(table.Row{
			c.Backend, c.Device, rate(c.ReadGBs), rate(c.LinkGBs), rate(c.LinkBackGBs),
			rate(c.F32TFlops), rate(c.BF16TFlops), rate(c.F16TFlops), c.TimeUTC,
		})
	}
	fmt.Fprintln(w, t.Render())
	for _, c := range all {
		if len(c.Link) > 0 {
			printLink(w, c)
		}
	}
}

// printLink prints the rest of what a long measurement knows of a device.
func printLink(w io.Writer, c hardware.Ceilings) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{
		"copies of", "up GB/s", "one queue", "compute busy", "both",
		"down GB/s", "one queue", "compute busy", "both",
	})
	for _, r := range c.Link {
		t.AppendRow(table.Row{
			sizeOf(r.Bytes), rate(r.UpGBs), rate(r.OneQueueGBs), rate(r.BusyGBs), rate(r.OneQueueBusyGBs),
			rate(r.DownGBs), rate(r.DownOneQueueGBs), rate(r.DownBusyGBs), rate(r.DownOneQueueBusyGBs),
		})
	}
	fmt.Fprintf(w, "link of %s\n%s\n", c.Device, t.Render())
	fmt.Fprintf(w, "  copies within device memory %s GB/s\n", rate(c.CopyGBs))
	if c.SubmitWaitUs > 0 {
		fmt.Fprintf(w, "  submit and wait %s µs, barrier %s µs, one more copy %s µs\n",
			rate(c.SubmitWaitUs), rate(c.BarrierUs), rate(c.CopyLatencyUs))
		printHostCosts(w, c)
		fmt.Fprintf(w, "  host memory is allocated in %s s a GiB\n", rate(c.AllocateSPerGiB))
		fmt.Fprintf(w, "  upload from anonymous memory: %s\n", importOf(c.ImportAnonymous))
		fmt.Fprintf(w, "  upload from a mapped file: %s\n", importOf(c.ImportFile))
	}
	if c.OverAllocation != "" {
		fmt.Fprintf(w, "  an allocation of more device memory than there is %s\n", c.OverAllocation)
	}
}

// printHostCosts prints what recording takes the host, where that was measured.
func printHostCosts(w io.Writer, c hardware.Ceilings) {
	h := c.Host
	if h == nil {
		return
	}
	fmt.Fprintf(w, "  the host's turn for a layer that pages %s µs, with all resident %s; one more "+
		"upload %s µs, expert of an upload %s, compute %s\n",
		rate(h.LayerUs), rate(h.ResidentUs), rate(h.UploadUs), rate(h.CopyUs), rate(h.ComputeUs))
	if c.CopyWaitUs > 0 {
		fmt.Fprintf(w, "  a copy begins %s µs after the compute that it waits for\n",
			rate(c.CopyWaitUs))
	}
}

// importOf says how fast uploads from imported memory are, or that there are none.
func importOf(i hardware.Import) string {
	if i.Refused != "" {
		return "refused: " + i.Refused
	}
	return fmt.Sprintf("%s GB/s, imported in %s s a GiB", rate(i.GBs), rate(i.SPerGiB))
}

// rate writes a rate; 0 was not measured.
func rate(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.4g", v)
}

func sizeOf(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
