// StateWriter: what changes the tables while a block is executed. It keeps revisions, the history, and what is attached
// to leases in step with the keys; what to change is decided elsewhere (operation_applier.h). One object a block; after
// an error the block is given up. One thread; deterministic.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kvstore/key_reader.h"
#include "kvstore/leases.h"
#include "kvstore/overlay.h"
#include "kvstore/rights.h"
#include "kvstore/state_view.h"

namespace loyal::kvstore {

class StateWriter {
 public:
    // All outlive it. `meta` is what the block makes of it; its hlc is the block's.
    StateWriter(StateView& view, Overlay& overlay, StateMeta& meta, LeaseDirectory& leases, ClientDirectory& clients);

    // The next change has a revision of its own; until the next call all changes share it.
    void begin_operation() { in_operation_ = false; }

    [[nodiscard]] Result<void> put_key(ByteView key, ByteView value, LeaseId lease);
    // False when it is absent.
    [[nodiscard]] Result<bool> delete_key(ByteView key);

    // ---- Leases
    [[nodiscard]] Result<std::optional<LeaseRecord>> lease(LeaseId id);
    [[nodiscard]] Result<LeaseId> grant(const consensus::ClientId& owner, std::uint64_t ttl_ms);
    void put_lease(LeaseId id, const LeaseRecord& lease);
    // `lease` is there and has room (the caller has looked).
    [[nodiscard]] Result<void> attach(LeaseId id, LeaseItem kind, ByteView name);
    // Nothing happens when the lease is gone.
    [[nodiscard]] Result<void> detach(LeaseId id, LeaseItem kind, ByteView name);
    // The names that are attached to it.
    [[nodiscard]] Result<std::vector<Bytes>> items_of(LeaseId id, LeaseItem kind);
    // The lease itself; nothing is attached to it any more.
    void remove_lease(LeaseId id);

    // ---- Clients
    void put_client(const consensus::ClientId& id, ClientRecord client);
    void remove_client(const consensus::ClientId& id);
    [[nodiscard]] const ClientDirectory& clients() const { return clients_; }
    [[nodiscard]] bool changed_clients() const { return changed_clients_; }

    // ---- Any table that has no history
    void put(StateTable table, ByteView key, Bytes content) { overlay_.put(table, key, std::move(content)); }
    void erase(StateTable table, ByteView key) { overlay_.erase(table, key); }

    // ---- History
    // What was changed so far can be read as a past.
    void flush_history();
    void forget_before(Revision revision, consensus::Hlc at);
    // At the end of the block: keeps to limits::history_bytes_max and to `revisions_max`, and drops what was forgotten,
    // a bounded number of records a block.
    [[nodiscard]] Result<void> trim_history(std::uint64_t revisions_max);
    // What the block changed.
    [[nodiscard]] std::shared_ptr<const std::vector<Change>> take_changes();

    [[nodiscard]] KeyReader& reader() { return reader_; }
    [[nodiscard]] StateView& view() { return view_; }
    [[nodiscard]] const StateMeta& meta() const { return meta_; }
    [[nodiscard]] const LeaseDirectory& leases() const { return leases_; }

 private:
    [[nodiscard]] ChangeId next_change();
    void record(ChangeView change);
    [[nodiscard]] Result<void> drop_record(ByteView key, ByteView content);

    StateView& view_;
    Overlay& overlay_;
    StateMeta& meta_;
    LeaseDirectory& leases_;
    ClientDirectory& clients_;
    bool changed_clients_ = false;
    KeyReader reader_;
    bool in_operation_ = false;
    std::uint32_t next_part_ = 0;
    std::optional<ChangeId> group_first_;  // of the history's record that is being filled
    Bytes group_;
    std::size_t previous_bytes_ = 0;  // of this block
    std::shared_ptr<std::vector<Change>> changes_;
};

}  // namespace loyal::kvstore
