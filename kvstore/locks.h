// Locks on leases, with a fair queue and fencing tokens (Burrows, "The Chubby lock service", OSDI'06, §2.4; Kleppmann
// 2016). A lock's record holds its newest token and its queue, whose first one has the lock. A token is given out when
// somebody comes to the head of the queue: by one larger each time, so that it is unique and only grows for that name,
// for ever: the record stays when nobody wants the lock any more.
//
// Table `locks`, under the root: name -> encode_lock_report (answers.h). Elections are locks whose waiters show a
// value. Pure but for the writer that they are given; one thread.
#pragma once

#include "config/result.h"
#include "kvstore/operation.h"
#include "kvstore/state_writer.h"

namespace loyal::kvstore {

// Without a record: nobody ever asked for it.
[[nodiscard]] Result<std::optional<LockReport>> find_lock(StateView& view, ByteView name);

struct LockAnswer {
    Status status = Status::ok;
    LockPlace place;
};
// `lease` is there and has room (the caller has looked).
[[nodiscard]] Result<LockAnswer> acquire_lock(StateWriter& writer, const LockAcquire& acquire,
                                              const consensus::ClientId& client);
// Status::no_lock when it is not in the queue.
[[nodiscard]] Result<Status> release_lock(StateWriter& writer, ByteView name, LeaseId lease);
// Status::fenced or no_lock.
[[nodiscard]] Result<Status> check_fence(StateView& view, const std::optional<Fence>& fence);

}  // namespace loyal::kvstore
