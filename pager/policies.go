package pager

// registry has every policy that NewPolicy makes, in alphabetical order.
var registry = []policyKind{
	{
		PolicyInfo{
			Name: "2q", Cost: "O(1)",
			Evicts: "of those used once the oldest arrival, of those missed again soon the oldest touch",
			Source: "Johnson and Shasha, VLDB 1994",
			Parameters: []Parameter{
				fraction("in", "of the slots, for experts used once", 1, 999, 250),
				fraction("out", "of the slots: evicted experts that are remembered", 1, 10000, 500),
			},
		},
		func(name string, s Shape, slots int, a *arguments) Policy {
			return newTwoQ(name, s, a.part("in", slots), a.part("out", slots))
		},
	},
	{
		PolicyInfo{
			Name: "arc", Cost: "O(1)",
			Evicts: "the oldest touch of those used once or of those used more often, in a learnt balance",
			Source: "Megiddo and Modha, FAST 2003",
		},
		func(name string, s Shape, slots int, _ *arguments) Policy { return newARC(name, s, slots) },
	},
	{
		PolicyInfo{
			Name: "arraylru", Cost: "O(1)",
			Evicts: "as lru, on flat arrays",
			Source: "Belady, IBM Systems Journal 1966",
		},
		func(name string, s Shape, _ int, _ *arguments) Policy { return newArrayLRU(name, s) },
	},
	{
		PolicyInfo{
			Name: "clock", Cost: "O(1) amortized",
			Evicts: "the oldest arrival that was not touched since its last turn",
			Source: "Corbató, A paging experiment with the Multics system, 1968",
		},
		func(name string, s Shape, slots int, _ *arguments) Policy { return newClock(name, s, slots) },
	},
	{
		PolicyInfo{
			Name: "fifo", Cost: "O(1)",
			Evicts: "the oldest arrival",
			Source: "Belady, IBM Systems Journal 1966",
		},
		func(name string, _ Shape, slots int, _ *arguments) Policy { return newFIFO(name, slots) },
	},
	{
		PolicyInfo{
			Name: "layerlru", Cost: "O(layers) a miss",
			Evicts: "the oldest touch of the layer whose next turn is farthest",
			Source: "Angelopoulos et al., arXiv 2509.02408",
		},
		func(name string, s Shape, _ int, _ *arguments) Policy { return newLayerLRU(name, s) },
	},
	{
		PolicyInfo{
			Name: "lfru", Cost: "O(log slots)",
			Evicts: "the least sum of uses that fade with time",
			Source: "Lee et al., LRFU, IEEE Transactions on Computers 2001",
			Parameters: []Parameter{
				whole("window", "turns of a layer in which a use fades to 1/e", 1, 1<<16, 32),
			},
		},
		func(name string, s Shape, slots int, a *arguments) Policy {
			return newLFRU(name, s, slots, a.get("window"))
		},
	},
	{
		PolicyInfo{
			Name: "lfu", Cost: "O(log slots)",
			Evicts: "the fewest uses",
			Source: "Robinson and Devarakonda, SIGMETRICS 1990",
			Parameters: []Parameter{
				whole("half", "turns of a layer after which all counts are halved; 0: never",
					0, 1<<20, 32),
			},
		},
		func(name string, s Shape, slots int, a *arguments) Policy {
			return newLFU(name, s, slots, a.get("half"))
		},
	},
	{
		PolicyInfo{
			Name: "lirs", Cost: "O(1) amortized",
			Evicts: "the oldest arrival of those with many others between their last two uses",
			Source: "Jiang and Zhang, SIGMETRICS 2002",
			Parameters: []Parameter{
				fraction("far", "of the slots, for experts with long gaps", 1, 999, 10),
			},
		},
		func(name string, s Shape, slots int, a *arguments) Policy {
			return newLIRS(name, s, slots, a.part("far", slots))
		},
	},
	{
		PolicyInfo{
			Name: "lru", Cost: "O(1), allocates",
			Evicts: "the oldest touch (golang-lru's simplelru)",
			Source: "Belady, IBM Systems Journal 1966",
		},
		func(name string, _ Shape, slots int, _ *arguments) Policy {
			return newLibraryLRU(name, slots)
		},
	},
	{
		PolicyInfo{
			Name: "mru", Cost: "O(1)",
			Evicts: "the newest touch",
			Source: "Chou and DeWitt, VLDB 1985",
		},
		func(name string, s Shape, _ int, _ *arguments) Policy { return newMRU(name, s) },
	},
	{
		PolicyInfo{
			Name: "nextuse", Cost: "O(log experts), and O(layers) a miss",
			Evicts: "what is expected to be needed last, by the clock of the layers and learnt chances",
			Source: "this project, docs/policy.md",
			Parameters: []Parameter{
				whole("window", "turns of a layer that its recent frequency remembers",
					2, 1024, defaultWindow),
			},
		},
		func(name string, s Shape, _ int, a *arguments) Policy {
			return newNextUse(name, s, a.get("window"))
		},
	},
	{
		PolicyInfo{
			Name: "perlayer", Cost: "O(1), or O(layers) a miss",
			Evicts: "the oldest touch of the layer that needs room: equal shares of the slots",
			Source: "static partitions: Denning, Communications of the ACM 1968",
		},
		func(name string, s Shape, slots int, _ *arguments) Policy {
			return newPerLayer(name, s, slots)
		},
	},
	{
		PolicyInfo{
			Name: "random", Cost: "O(1)",
			Evicts: "any, all equally likely",
			Source: "Belady, IBM Systems Journal 1966",
			Parameters: []Parameter{
				whole("seed", "of the generator", 0, 1<<31-1, 1),
			},
		},
		func(name string, _ Shape, slots int, a *arguments) Policy {
			return newRandom(name, slots, a.get("seed"))
		},
	},
	{
		PolicyInfo{
			Name: "s3fifo", Cost: "O(1) amortized",
			Evicts: "new experts that are not touched twice, then the oldest arrival without a touch",
			Source: "Yang et al., SOSP 2023",
			Parameters: []Parameter{
				fraction("small", "of the slots, for new experts", 1, 999, 100),
				fraction("ghost", "of the slots: evicted experts that are remembered", 1, 10000, 900),
			},
		},
		func(name string, s Shape, slots int, a *arguments) Policy {
			return newS3FIFO(name, s, a.part("small", slots), a.part("ghost", slots))
		},
	},
	{
		PolicyInfo{
			Name: "sieve", Cost: "O(1) amortized",
			Evicts: "the first that was not touched since a hand last passed it",
			Source: "Zhang et al., NSDI 2024",
		},
		func(name string, s Shape, _ int, _ *arguments) Policy { return newSieve(name, s) },
	},
	{
		PolicyInfo{
			Name: "slru", Cost: "O(1)",
			Evicts: "the oldest touch of those not touched since they came",
			Source: "Karedla, Love and Wherry, IEEE Computer 1994",
			Parameters: []Parameter{
				fraction("protected", "of the slots, for experts touched while resident", 0, 1000, 800),
			},
		},
		func(name string, s Shape, slots int, a *arguments) Policy {
			return newSLRU(name, s, a.part("protected", slots))
		},
	},
	{
		PolicyInfo{
			Name: "static", Cost: "O(1), and one sort",
			Evicts: "what was not used most often in the first turns",
			Source: "hot lists of expert offloaders: Kamahori et al., Fiddler, arXiv 2402.07033",
			Parameters: []Parameter{
				whole("warmup", "turns of a layer in which uses are counted", 1, 1<<20, 32),
			},
		},
		func(name string, s Shape, slots int, a *arguments) Policy {
			return newStatic(name, s, slots, a.get("warmup"))
		},
	},
}

func whole(key, meaning string, low, high, def int) Parameter {
	return Parameter{Key: key, Meaning: meaning, Low: low, High: high, Default: def}
}

// fraction takes its bounds and default in thousandths.
func fraction(key, meaning string, low, high, def int) Parameter {
	return Parameter{
		Key: key, Meaning: meaning, Fraction: true, Low: low, High: high, Default: def,
	}
}
