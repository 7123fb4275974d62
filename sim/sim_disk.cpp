// The disk of a simulated replica: how its data is opened, written back, damaged and lost.
#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "config/assert.h"
#include "kvstore/kv_tables.h"
#include "sim/sim_replica.h"

namespace loyal::sim {

// ---- Opening

bool SimReplica::open_data() {
    if (!open_log(folder_gone_) || !open_state()) {
        return false;
    }
    folder_gone_ = false;
    if (machine_ && machine_->executed().value > 0) {
        const auto found = log_->recover(machine_->executed_block());
        if (found && found->fresh && !open_log(true)) {  // a state that was executed, and a log that knows of nothing
            return false;
        }
    }
    if (machine_ && state_lost_.empty()) {
        if (auto begun = log_->begin_above(machine_->executed_block()); !begun) {
            disk_failed("cannot write its log", begun.error());
            return false;
        }
    }
    return true;
}

bool SimReplica::open_log(bool lost) {
    kvstore::LogOptions options;
    options.lost = lost || log_store_.is_hollow();
    options.checkpoint_interval = context_.membership.checkpoint_interval;
    options.fault_model = context_.membership.fault_model;
    auto log = kvstore::ConsensusLog::open(log_store_, context_.membership.context, options);
    if (!log) {
        disk_failed("cannot open its log", log.error());
        return false;
    }
    log_ = std::move(*log);
    return true;
}

// False: the process has ended. A state that is damaged is none: it is fetched.
bool SimReplica::open_state() {
    state_lost_.clear();
    const auto opened = [this]() -> Result<void> {
        auto machine = kvstore::StateMachine::open(*kv_store_, context_.state_options);
        if (!machine) {
            return tl::unexpected(machine.error());
        }
        machine_ = std::move(*machine);
        return open_checkpoints().and_then([this] { return state_mark_.empty() ? execute_again() : Result<void>(); });
    }();
    if (opened && !state_mark_.empty()) {
        lose_state(state_mark_);
    }
    if (opened) {
        return true;
    }
    if (opened.error().code != Errc::corrupted || !disk_may_fail()) {
        disk_failed("cannot open its state", opened.error());
        return false;
    }
    lose_state(opened.error().message);
    return true;
}

// Blocks that the log has and the state store has not, before there is a core: one at a time, so memory is bounded.
Result<void> SimReplica::execute_again() {
    for (consensus::Height next = machine_->executed().next();; next = next.next()) {
        auto block = log_->committed_block(next);
        if (!block && block.error().code != Errc::corrupted) {
            return tl::unexpected(block.error());
        }
        if (!block || !*block) {
            return {};  // the core fetches it
        }
        auto result = machine_->execute(***block);
        if (!result) {
            return tl::unexpected(result.error());
        }
        context_.trace.event("executed-again", id_.value, next.value, brief(result->digest));
        context_.world.on_executed(id_, ***block, *result);
        const auto durability = machine_->freeze_due() ? kvstore::Durability::synced : kvstore::Durability::lazy;
        if (machine_->freeze()) {
            if (auto written = machine_->write_frozen(durability); !written) {
                return written;
            }
            machine_->drop_frozen();
        }
    }
}

Result<consensus::Recovered> SimReplica::recover_data() {
    const consensus::BlockRef executed = machine_ ? machine_->executed_block() : consensus::BlockRef{};
    return log_->recover(executed).map([this](consensus::Recovered&& recovered) {
        if (machine_) {
            recovered.executed_digests = machine_->recent_digests();
            recovered.due = machine_->due();
        }
        if (checkpoints_) {
            recovered.roots = checkpoints_->roots();
        }
        recovered.state_lost = state_lost_;
        return std::move(recovered);
    });
}

std::unique_ptr<SimStore> SimReplica::new_state_store() {
    auto store = std::make_unique<SimStore>(kvstore::StateMachine::state_tables().size(), Random(random_.next(), 2));
    store->set_faults(log_store_.faults());
    return store;
}

// ---- Errors

bool SimReplica::disk_may_fail() const {
    return disk_fails_ || disk_touched_;
}

void SimReplica::state_failed(const char* what, const Error& error) {
    if (error.code != Errc::corrupted || !disk_may_fail()) {
        return disk_failed(what, error);
    }
    if (state_lost_.empty()) {
        lose_state(fmt::format("{}: {}", what, error.message));
        post([this, why = state_lost_] { node_->state_lost(why); });
    }
}

void SimReplica::lose_state(std::string why) {
    context_.trace.text([&] { return fmt::format("  replica {} loses its state: {}", id_.value, why); });
    diverged_ = why.starts_with("diverged");
    if (!why.starts_with("fell behind")) {
        state_mark_ = why;
    }
    state_lost_ = std::move(why);
    frozen_.reset();
    ++generation_;
    machine_.reset();
}

// What could not be made durable must not be relied on: the process ends (PROTOCOL.md D4), and what it had handed to
// the failed sync is there or not. Whoever starts it again after fail_next_sync has mended the disk.
void SimReplica::disk_failed(const char* what, const Error& error) {
    if (!disk_may_fail()) {
        return context_.world.violation(fmt::format("replica {}: {}: {}", id_.value, what, error.message));
    }
    context_.trace.text([&] { return fmt::format("  replica {}: {}: {}", id_.value, what, error.message); });
    if (disk_fails_) {
        disarm();
    } else {
        ended_itself_ = true;
    }
    end_process();
}

// A committed block that cannot be read is not answered; others have it.
void SimReplica::log_unreadable(const Error& error) {
    if (error.code != Errc::corrupted || !disk_touched_) {
        return disk_failed("log", error);
    }
    context_.trace.text([&] { return fmt::format("  replica {}: log: {}", id_.value, error.message); });
}

void SimReplica::end_process() {
    syncing_.clear();
    if (handling_) {
        dying_ = true;  // the end of the step is its end
    } else if (up()) {
        crash();
    } else {  // it did not even begin
        machine_.reset();
        log_.reset();
        log_store_.crash(random_);
        kv_store_->crash(random_);
        if (std::exchange(ended_itself_, false)) {
            context_.world.on_ended_itself(id_);
        }
    }
}

// ---- Writing back

void SimReplica::write_back() {
    freeze();
    after(context_.scenario.disk.write_back_us, [this] { write_back(); });
}

void SimReplica::freeze() {
    const bool at_checkpoint = machine_ && machine_->freeze_due();  // the log is cut only below what is durable
    if (!machine_ || frozen_ || !machine_->freeze()) {
        return;
    }
    const bool synced = context_.scenario.disk.write_back_synced || random_.one_in(8) || at_checkpoint;
    frozen_ = synced ? kvstore::Durability::synced : kvstore::Durability::lazy;
    ++generation_;
    after(context_.scenario.disk.sync_min_us + random_.below(2 * ms), [this, written = generation_] {
        if (written == generation_) {
            write_frozen();
        }
    });
}

// A generation ends at each checkpoint (S3). False: the disk is not ready for that, or the state is gone.
bool SimReplica::freeze_if_due() {
    if (!machine_ || !machine_->freeze_due()) {
        return true;
    }
    if (frozen_) {
        write_frozen();
    }
    freeze();
    return machine_ && !machine_->freeze_due();
}

void SimReplica::write_frozen() {
    if (!machine_ || !frozen_) {
        return;
    }
    const kvstore::Durability durability = *frozen_;
    const auto done = machine_->write_frozen(durability);
    if (!done && done.error().code == Errc::disk_full && disk_may_fail()) {
        // Nothing of it was written: no more is taken in, and it is tried again until there is room.
        set_full(true);
        after(context_.scenario.disk.write_back_us, [this, written = generation_] {
            if (written == generation_) {
                write_frozen();
            }
        });
        return;
    }
    if (!done) {
        return state_failed("state", done.error());
    }
    syncs_ += durability == kvstore::Durability::synced ? 1 : 0;
    machine_->drop_frozen();
    frozen_.reset();
    set_full(false);
    release_log();
    background_soon();  // a checkpoint may be due
}

void SimReplica::set_full(bool full) {
    if (full_ != full) {
        full_ = full;
        refuse_writes(writes_refused_);
    }
}

// ---- A bad disk

void SimReplica::set_disk_faults(const DiskFaults& faults) {
    disk_touched_ = disk_touched_ || faults.any();
    for (SimStore* store : {&log_store_, kv_store_.get(), next_store_.get()}) {
        if (store != nullptr) {
            store->set_faults(faults);
        }
    }
}

void SimReplica::rot(DiskPart part, bool hide) {
    disk_touched_ = true;
    SimStore& store = part == DiskPart::log || (part == DiskPart::all && random_.one_in(2)) ? log_store_ : *kv_store_;
    (void)(hide ? store.hide_record(random_) : store.flip_bit(random_));
}

void SimReplica::lose_disk(DiskPart part) {
    crash();
    disk_touched_ = true;
    if (part != DiskPart::state) {
        log_store_.lose();
        folder_gone_ = true;
    }
    if (part != DiskPart::log) {
        kv_store_->lose();
        next_store_.reset();
        state_mark_.clear();
    }
}

void SimReplica::keep_image() {
    log_image_ = log_store_.image();
    kv_image_ = kv_store_->image();
    image_mark_ = state_mark_;
}

bool SimReplica::roll_back(DiskPart part) {
    if (!log_image_) {
        return false;
    }
    crash();
    disk_touched_ = true;
    if (part != DiskPart::state) {
        log_store_.put_back(*log_image_);
    }
    if (part != DiskPart::log) {
        kv_store_->put_back(*kv_image_);
        next_store_.reset();
        state_mark_ = image_mark_;
    }
    return true;
}

// One value changes under a valid seal and a valid link, as if memory had failed before it was written.
bool SimReplica::diverge() {
    const kvstore::LinkedTable& keys = kvstore::linked_table(kvstore::StateTable::keys);
    const SimStore::Table& table = kv_store_->table(keys.index());
    if (table.size() < 2) {  // nothing but its end
        return false;
    }
    const auto victim = std::next(table.begin(), static_cast<std::ptrdiff_t>(random_.below(table.size() - 1)));
    const Bytes key = victim->first;
    const auto entry = keys.open({victim->first, victim->second});
    const auto old =
        entry ? kvstore::decode_key_record(entry->content) : Result<kvstore::KeyView>(fail(Errc::corrupted, ""));
    if (!old) {
        return false;
    }
    kvstore::KeyRecord record{static_cast<const kvstore::KeyVersion&>(*old),
                              Bytes(old->value.begin(), old->value.end())};
    record.value.push_back('!');
    const kvstore::Link link = entry->link;
    const DiskFaults faults = kv_store_->faults();
    kv_store_->set_faults({});
    auto txn = kv_store_->begin_write();
    const bool done = txn && keys.overwrite(**txn, key, link, kvstore::encode_key_record(record.view())) &&
                      (*txn)->commit(kvstore::Durability::lazy);
    kv_store_->set_faults(faults);
    disk_touched_ = disk_touched_ || done;
    return done;
}

}  // namespace loyal::sim
