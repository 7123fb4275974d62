// The disk of a simulated replica: how its data is opened, written back, damaged and lost.
#include <fmt/format.h>

#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "sim/sim_replica.h"

namespace loyal::sim {

// ---- Opening

bool SimReplica::open_data() {
    auto log = kvstore::ConsensusLog::open(log_store_, context_.membership.context);
    if (!log) {
        disk_failed("cannot open its log", log.error());
        return false;
    }
    log_ = std::move(*log);
    auto machine = kvstore::StateMachine::open(kv_store_, context_.state_options);
    if (!machine) {
        disk_failed("cannot open its state", machine.error());
        return false;
    }
    machine_ = std::move(*machine);
    if (const auto done = execute_again(); !done) {
        disk_failed("cannot execute its log again", done.error());
        return false;
    }
    return true;
}

// Blocks that the log has and the state store has not, before there is a core: one at a time, so memory is bounded.
Result<void> SimReplica::execute_again() {
    return {};
}

Result<consensus::Recovered> SimReplica::recover_data() {
    return log_->recover(machine_->executed_block()).map([this](consensus::Recovered&& recovered) {
        recovered.executed_digests = machine_->recent_digests();
        return std::move(recovered);
    });
}

// ---- Errors

bool SimReplica::disk_may_fail() const {
    return disk_fails_ || disk_touched_;
}

void SimReplica::state_failed(const char* what, const Error& error) {
    disk_failed(what, error);
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
        kv_store_.crash(random_);
        if (std::exchange(ended_itself_, false)) {
            context_.world.on_ended_itself(id_);
        }
    }
}

// ---- Writing back

void SimReplica::write_back() {
    const DiskShape& disk = context_.scenario.disk;
    if (machine_ && machine_->freeze()) {
        const auto durability =
            disk.write_back_synced || random_.one_in(8) ? kvstore::Durability::synced : kvstore::Durability::lazy;
        after(disk.sync_min_us + random_.below(2 * ms), [this, durability] { write_frozen(durability); });
    }
    after(disk.write_back_us, [this] { write_back(); });
}

void SimReplica::write_frozen(kvstore::Durability durability) {
    if (!machine_) {
        return;
    }
    const auto done = machine_->write_frozen(durability);
    if (!done && done.error().code == Errc::disk_full && disk_may_fail()) {
        // Nothing of it was written: no more is taken in, and it is tried again until there is room.
        state_full_ = true;
        refuse_writes(writes_refused_);
        after(context_.scenario.disk.write_back_us, [this, durability] { write_frozen(durability); });
        return;
    }
    if (!done) {
        return state_failed("state", done.error());
    }
    syncs_ += durability == kvstore::Durability::synced ? 1 : 0;
    machine_->drop_frozen();
    if (std::exchange(state_full_, false)) {
        refuse_writes(writes_refused_);
    }
}

// ---- A bad disk

void SimReplica::set_disk_faults(const DiskFaults& faults) {
    disk_touched_ = disk_touched_ || faults.any();
    log_store_.set_faults(faults);
    kv_store_.set_faults(faults);
}

void SimReplica::rot(DiskPart part, bool hide) {
    disk_touched_ = true;
    SimStore& store = part == DiskPart::log || (part == DiskPart::all && random_.one_in(2)) ? log_store_ : kv_store_;
    (void)(hide ? store.hide_record(random_) : store.flip_bit(random_));
}

void SimReplica::lose_disk(DiskPart part) {
    crash();
    disk_touched_ = true;
    if (part != DiskPart::state) {
        log_store_.lose();
    }
    if (part != DiskPart::log) {
        kv_store_.lose();
    }
}

void SimReplica::keep_image() {
    log_image_ = log_store_.image();
    kv_image_ = kv_store_.image();
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
        kv_store_.put_back(*kv_image_);
    }
    return true;
}

bool SimReplica::diverge() {
    return false;
}

}  // namespace loyal::sim
