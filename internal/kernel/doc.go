// Package kernel multiplies rows by one expert's matrix on the CPU and applies the
// activation function: in plain Go, with AVX2 or with AVX-512.
//
//	set := kernel.Best()
//	set.Multiply(acc, matrix, n, width, x, rows) // outputs n to n+width of every row
//	set.GELU(hidden, acc, rows, width)           // what the next matrix takes as x
//
// A tile of up to TileOut outputs goes down the whole matrix, eight inputs at a time. Their
// weights are read once, into registers, for all of the expert's rows:
//
//	         width outputs                 x, packed: (in/8, rows, 8)
//	        ┌───┬───┬───┬───┬───┐          ┌────────┐
//	8 inputs│ w │   │   │   │   │          │ row 0  │
//	        ├───┼───┼───┼───┼───┤    ×     │ row 1  │
//	8 inputs│   │   │   │   │   │          ├────────┤
//	        └───┴───┴───┴───┴───┘          │ row 0  │
//	acc(row) += the sum of 8 products      └────────┘
//
// The order of every sum depends on nothing but the number of inputs: not on how rows,
// outputs or experts are cut among threads, nor on the storage type. AVX2 and AVX-512
// give the same bits. Plain Go adds up in another order and rounds products.
//
// Uniform makes the random weights of synthetic models; PeakOf searches logits.
//
// Functions may be called concurrently. They check sizes and panic, as indexing does.
//
// The assembly is generated; the build tag purego leaves it out.
package kernel

//go:generate go run ./gen -out kernels_amd64.s -stubs kernels_amd64.go -pkg kernel
