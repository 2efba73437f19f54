package dispatcher

import "syscall"

// Magic numbers of file systems that live on this host, statfs(2).
var localMagics = map[int64]bool{
	0xef53:     true, // ext2, ext3, ext4
	0x58465342: true, // XFS
	0x9123683e: true, // Btrfs
	0x2fc12fc1: true, // ZFS
	0x01021994: true, // tmpfs
	0x794c7630: true, // overlayfs
	0xf2f52010: true, // F2FS
}

// isLocal reports whether a folder lies on a file system of this host.
func isLocal(path string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(path, &st) == nil && localMagics[st.Type]
}
