#include "kvstore/state_writer.h"

#include <utility>

#include "config/assert.h"
#include "config/limits.h"

namespace loyal::kvstore {

namespace {

// Records of the history that a block drops at most; it makes fewer than that in the long run.
constexpr std::size_t dropped_per_block_max = 512;

}  // namespace

StateWriter::StateWriter(StateView& view, Overlay& overlay, StateMeta& meta, LeaseDirectory& leases,
                         ClientDirectory& clients)
    : view_(view),
      overlay_(overlay),
      meta_(meta),
      leases_(leases),
      clients_(clients),
      reader_(view, meta),
      changes_(std::make_shared<std::vector<Change>>()) {}

ChangeId StateWriter::next_change() {
    if (!in_operation_) {
        in_operation_ = true;
        meta_.revision = meta_.revision.next();
        next_part_ = 0;
    }
    return {meta_.revision, next_part_++};
}

// ---- Keys

Result<void> StateWriter::put_key(ByteView key, ByteView value, LeaseId lease) {
    const auto before = reader_.record(key);
    if (!before) {
        return tl::unexpected(before.error());
    }
    const bool existed = *before && !(*before)->deleted();
    const LeaseId old_lease = existed ? (*before)->lease : LeaseId();
    ChangeView change;
    change.key = key;
    change.now.id = next_change();
    change.now.created = existed ? (*before)->created : change.now.id.revision;
    change.now.version = existed ? (*before)->version + 1 : 1;
    change.now.timestamp = meta_.hlc;
    change.now.lease = lease;
    change.now.value = value;
    change.previous = *before;
    record(change);
    overlay_.put(StateTable::keys, key, encode_key_record(change.now));
    if (old_lease == lease) {
        return {};
    }
    Result<void> done;
    if (old_lease.value != 0) {
        done = detach(old_lease, LeaseItem::key, key);
    }
    return done && lease.value != 0 ? attach(lease, LeaseItem::key, key) : done;
}

Result<bool> StateWriter::delete_key(ByteView key) {
    const auto before = reader_.find(key);
    if (!before) {
        return tl::unexpected(before.error());
    }
    if (!*before) {
        return false;
    }
    const LeaseId lease = (*before)->lease;
    ChangeView change;
    change.key = key;
    change.now.id = next_change();
    change.now.timestamp = meta_.hlc;
    change.previous = *before;
    record(change);
    overlay_.put(StateTable::keys, key, encode_key_record(change.now));
    return lease.value == 0 ? Result<bool>(true) : detach(lease, LeaseItem::key, key).map([] { return true; });
}

// ---- Leases

Result<std::optional<LeaseRecord>> StateWriter::lease(LeaseId id) {
    const auto content = view_.find(StateTable::leases, lease_key(id));
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return std::optional<LeaseRecord>();
    }
    return decode_lease(**content).map([](const LeaseRecord& lease) { return std::optional(lease); });
}

Result<LeaseId> StateWriter::grant(const consensus::ClientId& owner, std::uint64_t ttl_ms) {
    const LeaseId id(++meta_.leases_granted);
    put_lease(id, {owner, ttl_ms, meta_.lease_clock_ms + ttl_ms, 0});
    return id;
}

void StateWriter::put_lease(LeaseId id, const LeaseRecord& lease) {
    overlay_.put(StateTable::leases, lease_key(id), encode_lease(lease));
    leases_.put(id, lease.owner, lease.expires_ms);
}

void StateWriter::remove_lease(LeaseId id) {
    overlay_.erase(StateTable::leases, lease_key(id));
    leases_.remove(id);
}

Result<void> StateWriter::attach(LeaseId id, LeaseItem kind, ByteView name) {
    auto found = lease(id);
    if (!found) {
        return tl::unexpected(found.error());
    }
    LOYAL_ASSERT(found->has_value(), "who attaches something to a lease has looked whether it is there");
    ++(*found)->items;
    put_lease(id, **found);
    overlay_.put(StateTable::lease_items, lease_item_key(id, kind, name), {});
    return {};
}

Result<void> StateWriter::detach(LeaseId id, LeaseItem kind, ByteView name) {
    auto found = lease(id);
    if (!found) {
        return tl::unexpected(found.error());
    }
    if (!*found) {
        return {};
    }
    --(*found)->items;
    put_lease(id, **found);
    overlay_.erase(StateTable::lease_items, lease_item_key(id, kind, name));
    return {};
}

Result<std::vector<Bytes>> StateWriter::items_of(LeaseId id, LeaseItem kind) {
    std::vector<Bytes> names;
    Bytes begin = lease_key(id);
    begin.push_back(static_cast<std::uint8_t>(kind));
    Bytes end = begin;
    ++end.back();
    auto walked = view_.walk(StateTable::lease_items, begin, end, false, [&](ByteView key, ByteView) -> Result<bool> {
        const auto item = parse_lease_item_key(key);
        if (!item) {
            return tl::unexpected(item.error());
        }
        names.emplace_back(item->name.begin(), item->name.end());
        return true;
    });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    return names;
}

// ---- Clients

void StateWriter::put_client(const consensus::ClientId& id, ClientRecord client) {
    overlay_.put(StateTable::clients, id.bytes, encode_client(client));
    clients_.put(id, std::move(client));
    changed_clients_ = true;
}

// Its record stays, so that a client of genesis stays removed.
void StateWriter::remove_client(const consensus::ClientId& id) {
    const ClientRecord* client = clients_.find(id);
    LOYAL_ASSERT(client != nullptr, "who removes a client has looked whether it is there");
    overlay_.put(StateTable::clients, id.bytes, encode_client(*client, false));
    clients_.remove(id);
    changed_clients_ = true;
}

// ---- History

void StateWriter::record(ChangeView change) {
    const std::size_t previous_bytes = change.previous ? change.previous->value.size() : 0;
    if (previous_bytes > 0 && previous_bytes_ + previous_bytes > limits::history_block_bytes_max) {
        // One block cannot make every replica copy gigabytes: the past ends here.
        change.previous.reset();
        change.previous_dropped = true;
        forget_before(change.now.id.revision, meta_.hlc);
    } else {
        previous_bytes_ += previous_bytes;
    }
    if (change.previous && previous_bytes > limits::history_group_bytes) {
        change.previous_apart = true;
        flush_history();
        overlay_.put(StateTable::history, previous_value_key(change.now.id),
                     Bytes(change.previous->value.begin(), change.previous->value.end()));
        meta_.history_bytes += previous_bytes;
    }
    if (!group_first_) {
        group_first_ = change.now.id;
        group_ = encode_history_head(meta_.hlc);
    }
    append_change(group_, change);
    changes_->push_back(to_change(change));
    if (group_.size() >= limits::history_group_bytes) {
        flush_history();
    }
}

void StateWriter::flush_history() {
    if (!group_first_) {
        return;
    }
    meta_.history_bytes += group_.size();
    overlay_.put(StateTable::history, history_key(*group_first_), std::exchange(group_, {}));
    group_first_.reset();
}

void StateWriter::forget_before(Revision revision, consensus::Hlc at) {
    if (revision > meta_.compacted) {
        meta_.compacted = revision;
        meta_.compacted_at = at;
    }
}

Result<void> StateWriter::drop_record(ByteView key, ByteView content) {
    meta_.history_bytes -= content.size();
    overlay_.erase(StateTable::history, key);
    const auto at = parse_history_key(key);
    if (!at || at->apart) {
        return at ? Result<void>() : Result<void>(tl::unexpected(at.error()));
    }
    const auto changes = decode_history(content);
    if (!changes) {
        return tl::unexpected(changes.error());
    }
    for (const ChangeView& change : *changes) {
        if (!change.now.deleted()) {
            continue;
        }
        // A deletion that nothing of the history leads to any more.
        const auto record = reader_.record(change.key);
        if (!record) {
            return tl::unexpected(record.error());
        }
        if (*record && (*record)->id == change.now.id) {
            overlay_.erase(StateTable::keys, change.key);
        }
    }
    return {};
}

Result<void> StateWriter::trim_history(std::uint64_t revisions_max) {
    flush_history();
    struct Dropped {
        Bytes key;
        Bytes content;
    };
    // The policy moves the limit by whole records, so that it costs nothing to find the time that belongs to it.
    const Revision wanted = meta_.revision.minus(revisions_max);
    std::vector<Dropped> dropped;
    std::uint64_t bytes_left = meta_.history_bytes;
    bool whole = true;  // the record before this one goes
    const Bytes from = history_key(meta_.history_first);
    auto walked = view_.walk(StateTable::history, from, {}, false, [&](ByteView key, ByteView content) -> Result<bool> {
        const auto at = parse_history_key(key);
        if (!at) {
            return tl::unexpected(at.error());
        }
        if (!at->apart) {
            meta_.history_first = at->first;
            if (dropped.size() >= dropped_per_block_max || at->first.revision > std::max(wanted, meta_.compacted)) {
                const bool too_many_bytes = bytes_left > limits::history_bytes_max;
                if (!too_many_bytes || dropped.size() >= dropped_per_block_max) {
                    return false;
                }
            }
            const auto changes = decode_history(content);
            if (!changes) {
                return tl::unexpected(changes.error());
            }
            const KeyVersion& last = changes->back().now;
            whole = last.id.revision <= meta_.compacted;
            if (!whole && (last.id.revision <= wanted || bytes_left > limits::history_bytes_max)) {
                forget_before(last.id.revision, last.timestamp);
                whole = true;
            }
            if (!whole) {
                return false;
            }
        }
        bytes_left -= content.size();
        dropped.push_back({Bytes(key.begin(), key.end()), Bytes(content.begin(), content.end())});
        return true;
    });
    if (!walked) {
        return walked;
    }
    for (const Dropped& each : dropped) {
        if (auto done = drop_record(each.key, each.content); !done) {
            return done;
        }
    }
    return {};
}

std::shared_ptr<const std::vector<Change>> StateWriter::take_changes() {
    return std::exchange(changes_, std::make_shared<std::vector<Change>>());
}

}  // namespace loyal::kvstore
