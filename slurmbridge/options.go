package slurmbridge

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// sbatchOptions are the options of sbatch from Slurm 22.05 to 26.05, by their man pages: those that need a value end with =,
// those that may have one with ?, and the short form of an option stands before it. Plugins of a site (spank(7)) may add
// long ones.
const sbatchOptions = `
	A,account= acctg-freq= a,array= batch= bb= bbf= b,begin= D,chdir= cluster-constraint= M,clusters= comment=
	consolidate-segments C,constraint= container= container-id= container-type= contiguous S,core-spec= cores-per-socket=
	cpu-freq= cpus-per-gpu= c,cpus-per-task= deadline= delay-boot= d,dependency= m,distribution= e,error= x,exclude=
	exclusive? export= export-file= extra= B,extra-node-info= get-user-env? gid= gpu-bind= gpu-freq= G,gpus= gpus-per-node=
	gpus-per-socket= gpus-per-task= gres= gres-flags= h,help hint= H,hold ignore-pbs i,input= J,job-name=
	kill-on-invalid-dep= L,licenses= mail-type= mail-user= mcs-label= mem= mem-bind= mem-per-cpu= mem-per-gpu= mincpus=
	network= nice? k,no-kill? no-requeue F,nodefile= w,nodelist= N,nodes= n,ntasks= ntasks-per-core= ntasks-per-gpu=
	ntasks-per-node= ntasks-per-socket= oom-kill-step? open-mode= o,output= O,overcommit s,oversubscribe parsable
	p,partition= power= prefer= priority= profile= propagate? q,qos= Q,quiet reboot requeue? reservation= resv-ports?
	segment= signal= sockets-per-node= spread-job spread-segments stepmgr switches= test-only thread-spec=
	threads-per-core= t,time= time-min= tmp= tres-bind= tres-per-task= uid= usage use-min-nodes v,verbose V,version W,wait
	wait-all-nodes= wckey= wrap= x11?`

// refusedOptions would break the jobs, whoever asks for them, and why.
var refusedOptions = map[string]string{
	"array":       "workers are the elements of an array already",
	"clusters":    "workers are looked for in this cluster alone: submit from a login node of the other one",
	"error":       "the workers' logs lie in the spool: see tigerflow logs",
	"export":      "the job's environment is made by the engine: use container.env or setupCommands",
	"export-file": "the job's environment is made by the engine: use container.env or setupCommands",
	"help":        "sbatch must submit a job",
	"job-name":    "workers are found by the names of their jobs: the task's name is in it",
	"open-mode":   "the workers' logs lie in the spool: see tigerflow logs",
	"output":      "the workers' logs lie in the spool: see tigerflow logs",
	"parsable":    "it is given already",
	"quiet":       "sbatch must print the job's id",
	"requeue":     "a worker that is lost is replaced by a new job",
	"signal":      "the engine has itself warned before the end of the time",
	"test-only":   "sbatch must submit a job",
	"time":        "use slurm.time",
	"time-min":    "workers must know their time: use a shorter slurm.time",
	"usage":       "sbatch must submit a job",
	"version":     "sbatch must submit a job",
	"wait":        "sbatch must return at once",
	"wrap":        "the script is the engine's",
}

// dangerousOptions reach beyond what a Task may ask for when others than the user of this process write Tasks: who the job
// runs as, files of the login node, whole nodes.
var dangerousOptions = []string{
	"bbf", "chdir", "container", "container-id", "get-user-env", "gid", "nodefile", "reboot", "uid",
}

// CheckOptions checks items of executor.Slurm.Options. Each is what may stand behind #SBATCH in a script: --name=value,
// -x value, with quotes around a value that has spaces. The error names an option that no worker can have. dangerous are the
// names of those that only a user may ask for who is the user of this process.
func CheckOptions(options []string) (dangerous []string, err error) {
	words, err := splitOptions(options)
	if err != nil {
		return nil, err
	}
	for _, word := range words {
		name, _, _ := strings.Cut(word[2:], "=")
		if slices.Contains(dangerousOptions, name) && !slices.Contains(dangerous, name) {
			dangerous = append(dangerous, name)
		}
	}
	return dangerous, nil
}

// SpellOut reads items of executor.Slurm.Options as sbatch would, and spells each option as --name or --name=value.
func SpellOut(options []string) ([]string, error) { return splitOptions(options) }

// splitOptions spells all options as --name or --name=value.
func splitOptions(items []string) ([]string, error) {
	var all []string
	for _, item := range items {
		words, err := splitWords(item)
		if err == nil {
			words, err = spellOut(words)
		}
		if err != nil {
			return nil, fmt.Errorf("sbatch option %q: %w", item, err)
		}
		all = append(all, words...)
	}
	return all, nil
}

// namesGPUs reports whether options, spelled out, ask for generic resources themselves.
func namesGPUs(options []string) bool {
	return slices.ContainsFunc(options, func(o string) bool {
		return strings.HasPrefix(o, "--gres=") || strings.HasPrefix(o, "--gpus") ||
			strings.HasPrefix(o, "--tres-per-task=") && strings.Contains(o, "gpu")
	})
}

// avoiding adds nodes to those that options, spelled out, exclude: the last --exclude is the one that counts.
func avoiding(options, nodes []string) []string {
	if len(nodes) == 0 {
		return options
	}
	excluded := strings.Join(nodes, ",")
	for _, o := range options {
		if own, found := strings.CutPrefix(o, "--exclude="); found {
			excluded = own + "," + strings.Join(nodes, ",")
		}
	}
	return append(slices.Clip(options), "--exclude="+excluded)
}

// A word is made of pieces in quotes, characters behind a backslash, and others.
var (
	piecePattern = regexp.MustCompile(`'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^ \t'"\\]`)
	wordPattern  = regexp.MustCompile(`^(?:` + piecePattern.String() + `)+`)
)

// splitWords takes an item apart as sbatch does with a line behind #SBATCH.
func splitWords(item string) ([]string, error) {
	if strings.ContainsFunc(item, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return nil, errors.New("it has a control character")
	}
	var words []string
	for rest := strings.Trim(item, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		word := wordPattern.FindString(rest)
		rest = rest[len(word):]
		if word == "" || rest != "" && !strings.ContainsAny(rest[:1], " \t") {
			return nil, errors.New("a quote is not closed, or nothing stands behind a backslash")
		}
		words = append(words, piecePattern.ReplaceAllStringFunc(word, unquotePiece))
	}
	return words, nil
}

var escapePattern = regexp.MustCompile(`\\(.)`)

func unquotePiece(piece string) string {
	switch piece[0] {
	case '\'':
		return piece[1 : len(piece)-1]
	case '"':
		piece = piece[1 : len(piece)-1]
	}
	return escapePattern.ReplaceAllString(piece, "$1")
}

// spellOut reads words as getopt_long(3) does, but takes no abbreviations and no operands: sbatch would take the first of
// those for the script.
func spellOut(words []string) ([]string, error) {
	if len(words) == 0 {
		return nil, errors.New("it is empty")
	}
	var all []string
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		var last sbatchOption
		switch {
		case len(word) < 2 || word[0] != '-' || word == "--":
			return nil, fmt.Errorf("%q is no option: write --name=value, with quotes around a value that has spaces", word)
		case strings.HasPrefix(word, "--"):
			f, err := longOption(word[2:])
			if err != nil {
				return nil, err
			}
			last = f
		default:
			cluster, err := shortOptions(word[1:])
			if err != nil {
				return nil, err
			}
			for _, f := range cluster[:len(cluster)-1] {
				all = append(all, "--"+f.name)
			}
			last = cluster[len(cluster)-1]
		}
		if last.takes == '=' && !last.hasValue {
			if len(words) == 0 {
				return nil, fmt.Errorf("--%s needs a value", last.name)
			}
			last.value, last.hasValue, words = words[0], true, words[1:]
		}
		spelled := "--" + last.name
		if last.hasValue {
			spelled += "=" + last.value
		}
		all = append(all, spelled)
	}
	return all, nil
}

// sbatchOption is one option in use.
type sbatchOption struct {
	name     string
	takes    byte // = a value, ? perhaps one, 0 none; what a plugin's takes is not known
	value    string
	hasValue bool
}

var longNames, shortNames = readOptions()

func readOptions() (long, short map[string]sbatchOption) {
	long, short = map[string]sbatchOption{}, map[string]sbatchOption{}
	for word := range strings.FieldsSeq(sbatchOptions) {
		var f sbatchOption
		letter, name, found := strings.Cut(word, ",")
		if !found {
			letter, name = "", word
		}
		f.name = strings.TrimRight(name, "=?")
		if f.name != name {
			f.takes = name[len(name)-1]
		}
		long[f.name] = f
		if letter != "" {
			short[letter] = f
		}
	}
	return long, short
}

func longOption(text string) (sbatchOption, error) {
	name, value, hasValue := strings.Cut(text, "=")
	f, known := longNames[name]
	if !known {
		for full := range longNames {
			if strings.HasPrefix(full, name) {
				return sbatchOption{}, fmt.Errorf("--%s is an abbreviation: spell the option out", name)
			}
		}
		f.name = name
	}
	f.value, f.hasValue = value, hasValue
	return f, allowed(f)
}

// shortOptions reads letters behind one hyphen, of which the last may have its value behind it.
func shortOptions(letters string) ([]sbatchOption, error) {
	var all []sbatchOption
	for i := range len(letters) {
		f, known := shortNames[letters[i:i+1]]
		if !known {
			return nil, fmt.Errorf("sbatch has no option -%s", letters[i:i+1])
		}
		if err := allowed(f); err != nil {
			return nil, err
		}
		rest := letters[i+1:]
		if f.takes != 0 && rest != "" {
			f.value, f.hasValue = rest, true
			return append(all, f), nil
		}
		all = append(all, f)
	}
	return all, nil
}

func allowed(f sbatchOption) error {
	if why, refused := refusedOptions[f.name]; refused {
		return fmt.Errorf("--%s is refused: %s", f.name, why)
	}
	return nil
}
