// Package slurmbridge runs workers as jobs of a Slurm cluster: it submits arrays of them with sbatch, follows them with
// squeue and sacct, and ends them with scancel, all as the user who runs it. It knows no control plane and nothing of files.
//
// All that is needed to tell whose a job is stands in its name, `<task>.tf-<key>.<base>.r<restart>`: the element i of such
// an array is the worker `<key>.<base+i>.r<restart>`.
package slurmbridge
