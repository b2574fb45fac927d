//! Workloads and fault schedules, read from locks of CUE sources, fail closed.
