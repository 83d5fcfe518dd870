// The sum over a workgroup of THREADS, a constant of the including source: in the subgroups
// first, then over their results, in an order that is the same in every run on a device.
shared float sums_[THREADS]; // of the subgroups, of which there may be as many as threads

// sumOfAll is the sum of every thread's own, for all of them. It has barriers.
float sumOfAll(float own) {
    const float part = subgroupAdd(own);
    barrier(); // the sums of an earlier call have been read
    if (subgroupElect()) sums_[gl_SubgroupID] = part;
    barrier();
    float sum = 0.0;
    for (uint i = 0; i < gl_NumSubgroups; i++) sum += sums_[i];
    return sum;
}
