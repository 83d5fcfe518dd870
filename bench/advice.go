package bench

import (
	"fmt"

	"ufm/moe"
)

// Advice says what would make a row faster, largest gain first as far as the row tells,
// in the row's own figures. On unified memory, which serves device and host, paging is
// the first thing to do without.
func (r Row) Advice(unified bool) []string {
	var lines []string
	if unified && r.Status == StatusOK {
		lines = append(lines, fmt.Sprintf("on %s a copy stays within one memory: "+
			"keeping all %s resident costs nothing there", r.Device, size(r.BankBytes)))
	}
	if r.LimitFraction == nil {
		return lines
	}
	if *r.LimitFraction > 1 {
		return append(lines, fmt.Sprintf("it ran at %s of its limit: the ceilings were measured "+
			"too low (caches, or a busy machine); ufm info --measure measures them again",
			percent(*r.LimitFraction)))
	}
	for _, advice := range []func(Row) string{
		Row.adviseBytes, Row.advisePolicy, Row.adviseStalls, Row.adviseKernels, Row.adviseOverhead,
	} {
		if line := advice(r); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// adviseBytes speaks up where the link binds: no policy uploads less than the best one.
func (r Row) adviseBytes() string {
	if *r.LimitBy != byLink {
		return ""
	}
	line := fmt.Sprintf("the link binds even the best policy: only a larger budget "+
		"(of the bank's %s it has %s) or a faster link", size(r.BankBytes), size(r.BudgetBytes))
	if r.DType == moe.F32.String() {
		return line + " lifts the limit, or 16-bit weights, which halve every upload"
	}
	return line + " lifts the limit"
}

// advisePolicy speaks up where more was uploaded than had to be, if a twentieth of the
// step or more would be saved.
func (r Row) advisePolicy() string {
	extra := *r.Uploads - *r.BeladyUploads
	if extra <= 0 {
		return ""
	}
	line := fmt.Sprintf("belady, which knows the future, would make %s of the %s uploads",
		integer(*r.BeladyUploads), integer(*r.Uploads))
	if r.UploadMs == nil {
		return line
	}
	saved := *r.UploadMs * float64(extra) / float64(*r.Uploads)
	if saved < 0.05**r.StepMsMedian {
		return ""
	}
	return line + fmt.Sprintf(", which took %s ms a step", figure(*r.UploadMs))
}

// adviseStalls speaks up where compute waited.
func (r Row) adviseStalls() string {
	if r.StallMs == nil || *r.StallMs < 0.05**r.StepMsMedian {
		return ""
	}
	return fmt.Sprintf("compute waited %s of %s ms for uploads: uploads that start earlier "+
		"(prefetch) or fewer of them would shorten the step", figure(*r.StallMs), figure(*r.StepMsMedian))
}

// adviseKernels speaks up where compute was busy for longer than its limit explains.
func (r Row) adviseKernels() string {
	if r.ComputeMs == nil || *r.LimitBy == byLink ||
		*r.ComputeMs < 0.5**r.StepMsMedian || *r.LimitMs > 0.9**r.ComputeMs {
		return ""
	}
	return fmt.Sprintf("compute took %s of %s ms, where the limit is %s ms: faster kernels, "+
		"or more work for each launch, would come nearer to it",
		figure(*r.ComputeMs), figure(*r.StepMsMedian), figure(*r.LimitMs))
}

// adviseOverhead speaks up where neither queue was at work.
func (r Row) adviseOverhead() string {
	if r.ComputeMs == nil {
		return ""
	}
	idle := *r.StepMsMedian - max(*r.ComputeMs+*r.StallMs, *r.UploadMs)
	if idle < 0.1**r.StepMsMedian {
		return ""
	}
	return fmt.Sprintf("a part of the %s ms went neither into compute (%s) nor into uploads (%s): "+
		"more tokens a step would share the cost of launching it",
		figure(*r.StepMsMedian), figure(*r.ComputeMs), figure(*r.UploadMs))
}
