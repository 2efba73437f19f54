package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
)

// tuneStore sets what etcd has as variables of its packages. Log segments are preallocated, two at a time: an empty store
// would take 128 MB of disk.
var tuneStore = sync.OnceFunc(func() {
	wal.SegmentSizeBytes = 8 << 20
	watchResyncPeriod = time.Second
})

// watchResyncPeriod is how often etcd's watch loop wakes up to look for watches that have yet to catch up with what was
// written before they began; its own tests change it, too. It has no public name.
//
//go:linkname watchResyncPeriod go.etcd.io/etcd/server/v3/storage/mvcc.watchResyncPeriod
var watchResyncPeriod time.Duration

// store is an etcd of one member in this process. It listens on a Unix socket in the private run folder only, for
// it knows no users.
type store struct {
	etcd     *embed.Etcd
	endpoint string
	failures *failures
}

func startStore(ctx context.Context, dir *runDir) (*store, error) {
	tuneStore()
	failures := newFailures()
	socket := url.URL{Scheme: "unix", Path: dir.join(socketName)}
	cfg := storeConfig(dir.join("store"), socket)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(failures.logger())

	started := make(chan error, 1)
	s := &store{endpoint: socket.String(), failures: failures}
	go func() { // of its own, because a failure ends the goroutine that logs it
		var err error
		s.etcd, err = embed.StartEtcd(cfg)
		started <- err
	}()
	select {
	case err := <-started:
		if err != nil {
			return nil, err
		}
	case err := <-failures.first:
		return nil, err
	}
	if err := s.lead(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func storeConfig(dir string, socket url.URL) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.Name = "tigerflow"
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ListenPeerUrls = nil
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{socket}, []url.URL{socket}
	cfg.EnableGRPCGateway = false
	// The store ends with the process: there is no crash that flushing would help to survive.
	cfg.UnsafeNoFsync = true
	// An idle plane should cost nothing: one member needs neither heartbeats nor, with lead, elections, and nobody
	// reads the database file while the process runs.
	cfg.TickMs, cfg.ElectionMs = 2000, 10000
	cfg.BackendBatchInterval = 5 * time.Second
	// Memory and disk: few entries are kept for members that lag, because there are none.
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = 1000, 100
	cfg.MaxWalFiles, cfg.MaxSnapFiles = 2, 2
	return cfg
}

// lead makes the only member the leader now, where raft would wait for an election timeout, a matter of seconds
// with the slow tick: it asks it to take over, as a leader that leaves asks its successor, until it does.
func (s *store) lead(ctx context.Context) error {
	self := uint64(s.etcd.Server.MemberID())
	takeOver := &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &self, To: &self}
	retry := time.NewTicker(2 * time.Millisecond)
	defer retry.Stop()
	for {
		if err := s.etcd.Server.Process(ctx, takeOver); err != nil {
			return fmt.Errorf("electing the store's only member: %w", err)
		}
		select {
		case <-s.etcd.Server.ReadyNotify():
			return nil
		case err := <-s.failures.first:
			return err
		case err := <-s.etcd.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-retry.C:
		}
	}
}

// put writes one key.
func (s *store) put(ctx context.Context, key string, value []byte) error {
	_, err := s.etcd.Server.Put(ctx, &etcdserverpb.PutRequest{Key: []byte(key), Value: value})
	return err
}

// closeTimeout bounds the end of a store that has failed: what its dead goroutines held is never given back.
const closeTimeout = 500 * time.Millisecond

func (s *store) close() error {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		select {
		case <-s.etcd.Server.ReadyNotify():
		default:
			s.etcd.Server.HardStop() // or Close would wait for it to get ready
		}
		s.etcd.Close()
	}()
	select {
	case <-closed:
		return nil
	case <-time.After(closeTimeout):
		return errors.New("the store did not stop in time")
	}
}
