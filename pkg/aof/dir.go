package aof

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// What happens to the directory and its manifest: reading it, replacing it,
// taking over the single file of an older Redis, deleting history.

// ErrNoManifest says that append-only files lie in the directory but no manifest
// says what they are. Starting empty would overwrite them.
var ErrNoManifest = errors.New("aof: AOF files without a manifest")

// readManifest reads the manifest from the disk; found is false, without an
// error, where there is none.
func (o Options) readManifest() (m manifest, found bool, err error) {
	path := o.path(o.manifestName())
	data, err := readFile(o.FS, path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("Fatal error: can't open the AOF manifest file %s for reading: %s",
			path, Strerror(err))
	}
	m, err = parseManifest(data)
	if bad := (*manifestError)(nil); errors.As(err, &bad) {
		o.Warnf("*** FATAL AOF MANIFEST FILE ERROR ***")
		if bad.text != "" {
			o.Warnf("Reading the manifest file, at line %d", bad.line)
			o.Warnf(">>> '%s'", bad.text)
		}
	}
	return m, true, err
}

func readFile(fsys FS, path string) ([]byte, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// findManifest is readManifest for a log that is about to be replayed or
// written: it takes over an old single file, and without a manifest it makes
// sure that there is nothing to lose.
func (o Options) findManifest() (manifest, error) {
	m, found, err := o.readManifest()
	if err != nil {
		return m, err
	}
	if !found {
		if err := o.refuseOrphans(); err != nil {
			return m, err
		}
	}
	return m, o.upgrade(&m)
}

// refuseOrphans fails if files of a log lie in the directory though there is no
// manifest. Empty files do not count: a first start that was cut short leaves one.
func (o Options) refuseOrphans() error {
	entries, err := o.FS.ReadDir(o.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("Can't open or create append-only dir %s: %s", o.DirName, Strerror(err))
	}
	for _, e := range entries {
		if !o.isLogFile(e.Name()) {
			continue
		}
		info, err := o.FS.Stat(o.path(e.Name()))
		if err == nil && info.Size() == 0 {
			continue
		}
		return fmt.Errorf("%w: %s holds %s but no %s. Restore the manifest, or move the files away to start empty",
			ErrNoManifest, o.dir(), e.Name(), o.manifestName())
	}
	return nil
}

// isLogFile reports whether a name is that of a base or an increment of this log.
func (o Options) isLogFile(name string) bool {
	rest, ok := strings.CutPrefix(name, o.FileName+".")
	if !ok {
		return false
	}
	number, kind, ok := strings.Cut(rest, ".")
	if !ok || strings.Trim(number, "0123456789") != "" {
		return false
	}
	return kind == "base.rdb" || kind == "base.aof" || kind == "incr.aof"
}

// upgrade moves the single append-only file of a Redis before 7.0 into the
// directory, as the base. The manifest is written first: if a crash falls between
// the two steps, the next start finds a manifest whose only file is still outside
// and takes the second step again (aofUpgradePrepare in Redis's aof.c).
func (o Options) upgrade(m *manifest) error {
	if !o.exists(o.oldPath()) {
		return nil
	}
	fresh := m.base == nil && len(m.incrs) == 0
	half := m.base != nil && len(m.incrs) == 0 && m.base.name == o.FileName && !o.exists(o.path(o.FileName))
	if !fresh && !half {
		return nil
	}
	if err := o.makeDir(); err != nil {
		return err
	}
	m.base = &fileInfo{name: o.FileName, seq: 1, kind: baseFile}
	if _, err := o.writeManifest(*m); err != nil {
		return err
	}
	if err := o.FS.Rename(o.oldPath(), o.path(o.FileName)); err != nil {
		return fmt.Errorf("Error trying to move the old AOF file %s into dir %s: %s",
			o.FileName, o.DirName, Strerror(err))
	}
	if err := o.FS.SyncDir(o.dir()); err != nil {
		return fmt.Errorf("Fail to fsync AOF directory %s: %s.", o.dir(), Strerror(err))
	}
	o.Logf("Successfully migrated an old-style AOF file (%s) into the AOF directory (%s).", o.FileName, o.DirName)
	return nil
}

func (o Options) exists(path string) bool {
	_, err := o.FS.Stat(path)
	return err == nil
}

// makeDir creates the append-only directory where it is missing.
func (o Options) makeDir() error {
	err := o.FS.Mkdir(o.dir(), 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = o.FS.SyncDir(o.Dir)
	}
	if err != nil {
		return fmt.Errorf("Can't open or create append-only dir %s: %s", o.DirName, Strerror(err))
	}
	return nil
}

// writeManifest replaces the manifest on the disk: a temp file, synced, renamed
// over the old one, the directory synced. On an error renamed says whether the
// new manifest may be in force all the same.
func (o Options) writeManifest(m manifest) (renamed bool, err error) {
	name, temp := o.manifestName(), tempPrefix+o.manifestName()
	if err := o.writeSynced(o.path(temp), m.String()); err != nil {
		return false, fmt.Errorf("Error trying to write the temporary AOF manifest file %s: %s", temp, Strerror(err))
	}
	if err := o.FS.Rename(o.path(temp), o.path(name)); err != nil {
		return false, fmt.Errorf("Error trying to rename the temporary AOF manifest file %s into %s: %s",
			temp, name, Strerror(err))
	}
	if err := o.FS.SyncDir(o.dir()); err != nil {
		return true, fmt.Errorf("Fail to fsync AOF directory %s: %s.", o.dir(), Strerror(err))
	}
	return true, nil
}

func (o Options) writeSynced(path, content string) error {
	f, err := o.FS.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// swapManifest puts next in force in place of m. If that fails half way it puts m
// back; undone reports that next is certainly not in force, so that files which
// only next names may be deleted.
func (o Options) swapManifest(m, next manifest) (undone bool, err error) {
	renamed, err := o.writeManifest(next)
	if err == nil {
		return false, nil
	}
	if !renamed {
		return true, err
	}
	_, back := o.writeManifest(m)
	return back == nil, err
}

// dropHistory deletes the files that a rewrite has replaced and takes them off
// the manifest. What cannot be deleted is only left over; data does not depend on it.
func (o Options) dropHistory(m *manifest) error {
	if len(m.history) == 0 {
		return nil
	}
	for _, fi := range m.history {
		o.Logf("Removing the history file %s in the background", fi.name)
		if err := o.FS.Remove(o.path(fi.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.Warnf("Can't remove the history file %s: %s", fi.name, Strerror(err))
		}
	}
	m.history = nil
	_, err := o.writeManifest(*m)
	return err
}

// writeBaseFile writes a base to path, synced.
func (o Options) writeBaseFile(path string, write BaseWriter) error {
	f, err := o.FS.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(Steadily(f), 256<<10)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// fileSize is the length of a file of the log in bytes.
func (o Options) fileSize(name string) (int64, error) {
	info, err := o.FS.Stat(o.path(name))
	if err != nil {
		return 0, fmt.Errorf("Unable to obtain the AOF file %s length. stat: %s", name, Strerror(err))
	}
	return info.Size(), nil
}
