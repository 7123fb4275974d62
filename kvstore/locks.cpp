#include "kvstore/locks.h"

#include <algorithm>

#include "config/limits.h"

namespace loyal::kvstore {

namespace {

auto waiter_of(std::vector<LockWaiter>& queue, LeaseId lease) {
    return std::find_if(queue.begin(), queue.end(), [&](const LockWaiter& each) { return each.lease == lease; });
}

}  // namespace

Result<std::optional<LockReport>> find_lock(StateView& view, ByteView name) {
    const auto content = view.find(StateTable::locks, name);
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return std::optional<LockReport>();
    }
    auto report = decode_lock_report(**content);
    if (!report) {
        return fail(Errc::corrupted, "table locks: " + report.error().message);
    }
    return std::optional(std::move(*report));
}

Result<LockAnswer> acquire_lock(StateWriter& writer, const LockAcquire& acquire, const consensus::ClientId& client) {
    auto found = find_lock(writer.view(), acquire.name);
    if (!found) {
        return tl::unexpected(found.error());
    }
    LockReport lock = found->value_or(LockReport{});
    auto waiter = waiter_of(lock.queue, acquire.lease);
    if (waiter == lock.queue.end()) {
        if (lock.queue.size() >= limits::lock_queue_max) {
            return LockAnswer{Status::exhausted, {}};
        }
        if (auto attached = writer.attach(acquire.lease, LeaseItem::lock, acquire.name); !attached) {
            return tl::unexpected(attached.error());
        }
        lock.queue.push_back({acquire.lease, client, acquire.value});
        waiter = std::prev(lock.queue.end());
        if (lock.queue.size() == 1) {
            ++lock.token;
        }
        writer.put(StateTable::locks, acquire.name, encode_lock_report(lock));
    }
    const auto ahead = static_cast<std::uint32_t>(waiter - lock.queue.begin());
    return LockAnswer{Status::ok, {ahead == 0 ? lock.token : 0, ahead}};
}

Result<Status> release_lock(StateWriter& writer, ByteView name, LeaseId lease) {
    auto found = find_lock(writer.view(), name);
    if (!found) {
        return tl::unexpected(found.error());
    }
    LockReport lock = found->value_or(LockReport{});
    const auto waiter = waiter_of(lock.queue, lease);
    if (waiter == lock.queue.end()) {
        return Status::no_lock;
    }
    const bool held = waiter == lock.queue.begin();
    lock.queue.erase(waiter);
    if (held && !lock.queue.empty()) {
        ++lock.token;
    }
    writer.put(StateTable::locks, name, encode_lock_report(lock));
    return writer.detach(lease, LeaseItem::lock, name).map([] { return Status::ok; });
}

Result<Status> check_fence(StateView& view, const std::optional<Fence>& fence) {
    if (!fence) {
        return Status::ok;
    }
    const auto lock = find_lock(view, fence->lock);
    if (!lock) {
        return tl::unexpected(lock.error());
    }
    if (!*lock || fence->token > (*lock)->token) {
        return Status::no_lock;
    }
    return fence->token == (*lock)->token ? Status::ok : Status::fenced;
}

}  // namespace loyal::kvstore
