// Command gen writes the assembly of package kernel: run go generate there.
package main

import . "github.com/mmcloughlin/avo/build"

// group is how many inputs' products are added up before they go to the outputs.
const group = 8

func main() {
	ConstraintExpr("!purego")
	for _, s := range []storage{f32, f16, bf16} {
		generateProduct(avx512{}, s)
	}
	for _, s := range []storage{f32, f16, bf16} {
		generateProduct(avx2{}, s)
	}
	for _, u := range uniforms {
		for _, s := range []storage{f32, f16, bf16} {
			u.generate(s)
		}
	}
	generateGELU()
	generateSwiGLU()
	generatePeak()
	Generate()
}
