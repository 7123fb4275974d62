#include "kvstore/state_machine.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include "config/assert.h"
#include "config/limits.h"
#include "kvstore/block_executor.h"
#include "kvstore/checkpoint_tables.h"
#include "kvstore/generation_writer.h"
#include "kvstore/key_reader.h"
#include "kvstore/kv_tables.h"
#include "kvstore/overlay.h"
#include "kvstore/queries.h"
#include "kvstore/sessions.h"
#include "kvstore/sorted_runs.h"
#include "kvstore/state_view.h"

namespace loyal::kvstore {

namespace {

using consensus::Envelope;
using consensus::Height;
using consensus::Seq;

// A header's exec_dig lags by W; a restarted replica may have to check headers of twice that.
constexpr std::size_t digests_kept = 2 * limits::window_max + 2;

StateMeta genesis_meta() {
    StateMeta meta;
    meta.digests.emplace_back(Height(0), crypto::Digest{});
    return meta;
}

class KvStateMachine final : public StateMachine {
 public:
    KvStateMachine(Store& store, StateMachineOptions options, StateMeta meta, SessionDirectory directory,
                   LeaseDirectory leases, ClientDirectory clients)
        : store_(store),
          options_(std::move(options)),
          meta_(std::move(meta)),
          directory_(std::move(directory)),
          leases_(std::move(leases)),
          clients_(std::move(clients)),
          checkpoints_{options_.salt, options_.checkpoint_interval},
          frozen_height_(meta_.height),
          stored_height_(meta_.height),
          durable_height_(meta_.height.value) {
        const auto is_off = [&](std::string_view rule) {
            return std::find(options_.rules_off.begin(), options_.rules_off.end(), rule) != options_.rules_off.end();
        };
        rules_.dedupe = !is_off("C4");
        rules_.horizon = !is_off("horizon");
    }

    Result<ExecutedBlock> execute(const consensus::Block& block) override;
    Result<AdmissionResult> admit(const Envelope& envelope) const override;
    Result<ReadAnswer> read(const Query& query) const override;
    Result<ChangePage> changes(const ChangeQuery& query) const override;
    bool may_ask(const consensus::ClientId& client, const Query& query) const override {
        const ClientRecord* record = clients_.find(client);
        return record != nullptr && allows(*record, query);
    }
    std::shared_ptr<const ClientDirectory> clients() const override {
        return std::make_shared<const ClientDirectory>(clients_);
    }

    Height executed() const override { return meta_.height; }
    consensus::BlockRef executed_block() const override { return {meta_.height, meta_.block}; }
    consensus::Hlc hlc() const override { return meta_.hlc; }
    Revision revision() const override { return meta_.revision; }
    Revision compacted() const override { return meta_.compacted; }
    std::optional<consensus::Hlc> due() const override;
    Height durable_height() const override { return Height(durable_height_.load()); }
    std::vector<std::pair<Height, crypto::Digest>> recent_digests() const override { return meta_.digests; }

    std::size_t overlay_bytes() const override { return overlay_.bytes(); }
    bool freeze_due() const override {
        return checkpoints_.interval != 0 && !failed_ && frozen_height_ != meta_.height &&
               meta_.height.value % checkpoints_.interval == 0;
    }
    bool freeze() override;
    Result<void> write_frozen(Durability durability) override;
    void drop_frozen() override;

 private:
    [[nodiscard]] Result<ExecutedBlock> execute_all(const consensus::Block& block);
    [[nodiscard]] bool is_denied(const Envelope& envelope, const std::vector<Operation>& operations) const;
    [[nodiscard]] AdmissionResult judge(const Envelope& envelope, const Session* session) const;

    Store& store_;
    StateMachineOptions options_;
    ExecutionRules rules_;
    StateMeta meta_;  // of the last executed block
    Overlay overlay_;
    SessionDirectory directory_;
    LeaseDirectory leases_;
    ClientDirectory clients_;
    CheckpointOptions checkpoints_;
    Height frozen_height_;  // everything up to here is frozen or in the store
    Height stored_height_;  // everything up to here is in the store; the writing thread's
    std::optional<Error> failed_;
    std::atomic<bool> written_{false};  // the frozen generation is in the store
    std::atomic<std::uint64_t> durable_height_;
};

Result<ExecutedBlock> KvStateMachine::execute(const consensus::Block& block) {
    if (failed_) {
        return tl::unexpected(*failed_);
    }
    LOYAL_ASSERT(block.header.height == meta_.height.next(), "blocks are executed in height order, each once");
    LOYAL_ASSERT(!freeze_due(), "a generation ends at each checkpoint");
    auto executed = execute_all(block);
    if (!executed) {
        failed_ = executed.error();
    }
    return executed;
}

Result<ExecutedBlock> KvStateMachine::execute_all(const consensus::Block& block) {
    ExecutedBlock executed;
    executed.height = block.header.height;
    executed.hlc = block.header.hlc;
    BlockExecutor executor({store_, overlay_, directory_, leases_, meta_, clients_, rules_, options_.history_revisions},
                           block);
    executed.replies.reserve(block.envelopes.size());
    for (const Envelope& envelope : block.envelopes) {
        auto replies = executor.execute(envelope);
        if (!replies) {
            return tl::unexpected(replies.error());
        }
        if (!replies->outcomes.empty()) {
            executed.replies.push_back(std::move(*replies));
        }
    }
    if (auto finished = executor.finish(); !finished) {
        return tl::unexpected(finished.error());
    }
    executed.changes = executor.take_changes();
    executed.revision = meta_.revision;
    executed.due = due();
    if (executor.changed_clients()) {
        executed.clients = clients();
    }
    auto results = std::make_shared<BlockResults>(executor.take_results());
    results->height = block.header.height;
    results->body = block.body;
    results->opening = {meta_.digests.back().second, block.id, results->tree.root(), effects_digest(executed.replies)};
    executed.digest = execution_digest(results->opening);
    results->digest = executed.digest;
    executed.results = std::move(results);

    meta_.digests.emplace_back(meta_.height, executed.digest);
    if (meta_.digests.size() > digests_kept) {
        meta_.digests.erase(meta_.digests.begin());
    }
    return executed;
}

bool KvStateMachine::is_denied(const Envelope& envelope, const std::vector<Operation>& operations) const {
    const ClientRecord* client = clients_.find(envelope.client);
    return client == nullptr || std::any_of(operations.begin(), operations.end(),
                                            [&](const Operation& operation) { return !allows(*client, operation); });
}

Result<AdmissionResult> KvStateMachine::admit(const Envelope& envelope) const {
    if (clients_.find(envelope.client) == nullptr) {
        return AdmissionResult{Admission::denied, {}};
    }
    const auto operations = decode_operations(envelope.operations, envelope.count);
    if (!operations) {
        return AdmissionResult{Admission::invalid, {}};
    }
    if (is_denied(envelope, *operations)) {
        return AdmissionResult{Admission::denied, {}};
    }
    StateView view(store_, overlay_);
    const auto session = view.session({envelope.client, envelope.session});
    if (!session) {
        return tl::unexpected(session.error());
    }
    return judge(envelope, session->get());
}

// The same order of questions as the executor's, with the last executed block's hlc for the next one's. A not_after
// that is too far ahead is admitted: an idle cluster's last hlc is old, the next block's is not.
AdmissionResult KvStateMachine::judge(const Envelope& envelope, const Session* session) const {
    AdmissionResult result{Admission::already_executed, {envelope.client, envelope.session, {}}};
    const Seq low = std::max(session != nullptr ? session->low() : Seq(0), envelope.ack_low);
    bool is_new = false;
    for (std::uint16_t i = 0; i < envelope.count; ++i) {
        const Seq seq = envelope.seq0.plus(i);
        if (seq < envelope.seq0) {
            return {Admission::window, {}};  // wrapped around
        }
        const ExecutedOperation* executed = session != nullptr && rules_.dedupe ? session->find(seq) : nullptr;
        if (executed != nullptr && !executed->repeatable) {
            result.replies.outcomes.push_back(Session::outcome_of(seq, *executed));
            continue;
        }
        if (executed == nullptr && seq < low) {
            continue;  // acknowledged
        }
        if (executed == nullptr && rules_.horizon && meta_.hlc > envelope.not_after) {
            return {Admission::expired, {}};
        }
        if (beyond_window(low, seq) && executed == nullptr) {
            return {Admission::window, {}};
        }
        is_new = true;
    }
    if (is_new) {
        return {Admission::admit, {}};
    }
    return result;
}

Result<ReadAnswer> KvStateMachine::read(const Query& query) const {
    StateView view(store_, overlay_);
    KeyReader reader(view, meta_);
    const auto answer = answer_query({reader, view, meta_, clients_}, query, limits::range_bytes_max);
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    return ReadAnswer{meta_.height, meta_.hlc, meta_.revision, encode_query_answer(*answer)};
}

Result<ChangePage> KvStateMachine::changes(const ChangeQuery& query) const {
    StateView view(store_, overlay_);
    return KeyReader(view, meta_).changes(query);
}

// While there are leases the clock has to go on, in steps that count in full.
std::optional<consensus::Hlc> KvStateMachine::due() const {
    const auto next = leases_.next();
    if (!next) {
        return std::nullopt;
    }
    const std::uint64_t left = next->first > meta_.lease_clock_ms ? next->first - meta_.lease_clock_ms : 0;
    return consensus::Hlc(meta_.hlc.wall_ms() + std::min(left, limits::lease_tick_ms), 0);
}

bool KvStateMachine::freeze() {
    if (failed_ || overlay_.frozen() != nullptr || frozen_height_ == meta_.height) {
        return false;
    }
    overlay_.freeze(meta_);
    frozen_height_ = meta_.height;
    written_ = false;
    return true;
}

Result<void> KvStateMachine::write_frozen(Durability durability) {
    const Generation* frozen = overlay_.frozen();
    LOYAL_ASSERT(frozen != nullptr, "freeze() comes before write_frozen()");
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    WriteTxn& txn = **begun;
    if (auto done = write_generation(txn, *frozen, stored_height_, checkpoints_); !done) {
        return done;
    }
    if (auto done = txn.commit(durability); !done) {
        return done;
    }
    if (durability == Durability::synced) {
        durable_height_ = frozen->meta.height.value;
    }
    stored_height_ = frozen->meta.height;
    written_ = true;
    return {};
}

void KvStateMachine::drop_frozen() {
    LOYAL_ASSERT(written_, "a generation is dropped only when the store has it");
    overlay_.drop_frozen();
}

// Absent meta record: the genesis state, if nothing else is there either.
Result<StateMeta> load_meta(const ReadTxn& txn) {
    const auto transfer = read_transfer(txn);
    if (!transfer) {
        return tl::unexpected(transfer.error());
    }
    if (*transfer) {
        return fail(Errc::unavailable, "the state is being put together for height " +
                                           std::to_string((*transfer)->height.value) + " and is not complete");
    }
    auto meta = read_meta(txn);
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    if (*meta) {
        return std::move(**meta);
    }
    for (const RootedTable& rooted : rooted_tables) {
        LinkedCursor cursor(rooted.table, txn);
        if (auto started = cursor.start({}); !started) {
            return tl::unexpected(started.error());
        }
        if (cursor.entry()) {
            return fail(Errc::corrupted, "the state store holds records but its meta record is missing");
        }
    }
    return genesis_meta();
}

Result<SessionDirectory> load_directory(const ReadTxn& txn, const SessionBounds& bounds) {
    SessionDirectory directory(bounds);
    LinkedCursor cursor(linked_table(StateTable::sessions), txn);
    auto moved = cursor.start({});
    for (; moved && cursor.entry(); moved = cursor.advance()) {
        const auto key = decode_session_key(cursor.entry()->key);
        if (!key) {
            return tl::unexpected(key.error());
        }
        const auto session = decode_session(cursor.entry()->content);
        if (!session) {
            return tl::unexpected(session.error());
        }
        directory.touch(*key, session->last_executed(), session->size());
    }
    if (!moved) {
        return tl::unexpected(moved.error());
    }
    return directory;
}

Result<LeaseDirectory> load_leases(const ReadTxn& txn) {
    LeaseDirectory directory;
    LinkedCursor cursor(linked_table(StateTable::leases), txn);
    auto moved = cursor.start({});
    for (; moved && cursor.entry(); moved = cursor.advance()) {
        const auto id = parse_lease_key(cursor.entry()->key);
        const auto lease = decode_lease(cursor.entry()->content);
        if (!id || !lease) {
            return tl::unexpected(id ? lease.error() : id.error());
        }
        directory.put(*id, lease->owner, lease->expires_ms);
    }
    if (!moved) {
        return tl::unexpected(moved.error());
    }
    return directory;
}

Result<ClientDirectory> load_clients(const ReadTxn& txn, const ClientDirectory::Clients& genesis) {
    ClientDirectory directory(genesis);
    LinkedCursor cursor(linked_table(StateTable::clients), txn);
    auto moved = cursor.start({});
    for (; moved && cursor.entry(); moved = cursor.advance()) {
        consensus::ClientId id;
        auto stored = decode_client(cursor.entry()->content);
        if (!stored || cursor.entry()->key.size() != id.bytes.size()) {
            return fail(Errc::corrupted, "malformed record in the clients table");
        }
        std::copy_n(cursor.entry()->key.begin(), id.bytes.size(), id.bytes.begin());
        directory.remove(id);
        if (stored->present) {
            directory.put(id, std::move(stored->client));
        }
    }
    if (!moved) {
        return tl::unexpected(moved.error());
    }
    return directory;
}

}  // namespace

Result<std::unique_ptr<StateMachine>> StateMachine::open(Store& kv, StateMachineOptions options) {
    // A killed process may have left its last batch in the page cache only; from here on it counts as durable.
    if (auto synced = kv.sync(); !synced) {
        return tl::unexpected(synced.error());
    }
    auto txn = kv.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    auto meta = load_meta(**txn);
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    auto directory = load_directory(**txn, options.session_bounds);
    if (!directory) {
        return tl::unexpected(directory.error());
    }
    auto leases = load_leases(**txn);
    if (!leases) {
        return tl::unexpected(leases.error());
    }
    auto clients = load_clients(**txn, options.clients);
    if (!clients) {
        return tl::unexpected(clients.error());
    }
    return std::unique_ptr<StateMachine>(std::make_unique<KvStateMachine>(
        kv, std::move(options), std::move(*meta), std::move(*directory), std::move(*leases), std::move(*clients)));
}

std::vector<std::string> StateMachine::state_tables() {
    return {std::string(keys_table_name),
            std::string(sessions_table_name),
            std::string(meta_table_name),
            std::string(pre_table_name),
            std::string(leaves_table_name),
            std::string(nodes_table_name),
            std::string(progress_table_name),
            std::string(runs_table_name),
            "history",
            "leases",
            "lease_items",
            "locks",
            "clients"};
}

}  // namespace loyal::kvstore
