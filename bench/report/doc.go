// Package report turns a folder of results into plots, a page and a text, and its steps
// into Go's benchmark format.
//
//	err := report.Write("results/mine")
//
// It only reads what the sweep wrote, so that it can be run again at any time. Every
// figure of a result that it prints is a row's, rounded: ratios and sums that stand in
// no row are left to the reader.
package report
