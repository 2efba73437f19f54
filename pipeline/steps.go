package pipeline

import (
	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/staging"
)

// Steps says in the terms of package staging what the steps of a Pipeline ask for.
func Steps(of []v1alpha1.StagingStep) []staging.Step {
	var steps []staging.Step
	for i := range of {
		steps = append(steps, step(&of[i]))
	}
	return steps
}

func step(s *v1alpha1.StagingStep) staging.Step {
	to := staging.Step{
		FilenameMatch: s.FilenameMatch, CompanionFile: s.CompanionFile, MaxStaged: s.MaxStaged, MaxBatch: s.MaxBatch,
		Callable: s.Callable,
	}
	if s.MinSize != nil {
		to.MinSize = s.MinSize.Value()
	}
	if s.MaxSize != nil {
		to.MaxSize = s.MaxSize.Value()
	}
	if s.MinAge != nil {
		to.MinAge = s.MinAge.Duration
	}
	if s.SortBy != nil {
		to.SortBy, to.Reverse = staging.SortKey(s.SortBy.SortKey()), s.SortBy.IsReverse()
	}
	return to
}
