// Where etcd and this store differ on purpose, in one place: what the comparison translates, allows for or leaves out.
// For users the same stands in docs/DATA_MODEL.md, "Differences from etcd".
//
// Translated (translation.cpp):
//   revisions        an empty etcd is at revision 1, this store at 0: revisions count changes here. An etcd that was
//                    emptied and compacted is at a later one
//   bounds           "from the first key" is an empty key here and the key "\0" there; "to the end" is an empty end
//   here
//                    and the end "\0" there. An end that is the byte 0 is before every key here, as any other end
//                    would be
//   count            beside items it is theirs here, and of the whole range there: a page costs what it shows
//   lease ids        counted here, because the state decides; etcd takes the same number from the client
//   delete           of an absent key is `not found` here, and "deleted 0" there; no revision in either
//   revoke           tells how many keys went; etcd does not
//   cas              is a transaction of one comparison there
//   put with a ttl   is a grant and a put there; within a transaction it is not asked for
// Allowed for, or left out: below (fences and times are taken from operations, histories and locks are left out).
// Not asked for: fences, locks, histories, reads as of a time, which etcd lacks; prev_kv, ignore_value, ignore_lease,
// nested transactions, comparisons of ranges, sorting by anything but the key, and revision bounds of ranges, which
// this store lacks; reads as of revision 0, which are bad input here and the present there; limits of size and number,
// the time that leases take and the history's end, which are tested apart.
#pragma once

#include <optional>

#include "kvstore/operation.h"

namespace loyal::compare {

// What of an operation both stores know, with times to live of which nothing passes while the test runs; nothing when
// etcd knows none of it.
[[nodiscard]] std::optional<kvstore::Operation> in_common(kvstore::Operation operation);

// A branch that would be refused for several reasons: the answer is that of the first operation here, while etcd looks
// at leases before it looks at revisions. Both refuse.
[[nodiscard]] bool may_have_several_reasons(const kvstore::Operation& operation);

// A branch that puts a key and deletes it by a range to the end: refused here as any other overlap is; etcd 3.4 looks
// for overlaps as if such a range were empty, and executes it.
[[nodiscard]] bool overlaps_to_the_end(const kvstore::Operation& operation);

}  // namespace loyal::compare
