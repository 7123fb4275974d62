#include "replica/executor.h"

#include <algorithm>

#include "config/limits.h"
#include "replica/fatal_of.h"

namespace loyal::replica {
namespace {

// A lazy write may be forgotten by a power cut; every so many generations one is synced, which bounds the replay.
constexpr std::uint64_t sync_every = 8;

Error recovering() {
    return {Errc::unavailable, "the state of this replica is being recovered"};
}

}  // namespace

Executor::Executor(kvstore::StateMachine& machine, kvstore::Store& kv, Inbox<ExecutorResult>& results, Room& room,
                   ExecutorOptions options)
    : machine_(machine),
      kv_(kv),
      results_(results),
      room_(room),
      options_(options),
      last_freeze_(std::chrono::steady_clock::now()),
      durable_height_(machine.durable_height().value),
      writer_([this] { run_writer(); }),
      thread_([this] { run(); }) {}

Executor::~Executor() {
    stop();
}

void Executor::submit(ExecutorTask task) {
    queue_.push(std::move(task));
}

void Executor::stop() {
    stopping_ = true;
    room_.tell();
    queue_.stop();
    if (thread_.joinable()) {
        thread_.join();
    }
    to_write_.stop();
    if (writer_.joinable()) {
        writer_.join();
    }
}

void Executor::abandon() {
    failed_ = true;
    stop();
}

// Damage is healed from the other replicas (docs/STORAGE.md); what the disk refuses is not.
void Executor::state_failed(const char* what, const Error& error) {
    if (error.code != Errc::corrupted) {
        fatal(fatal_code_of(error.code), std::string(what) + ": " + error.message);
    }
    if (!failed_.exchange(true)) {
        room_.tell();
        results_.push(StateFailed{{error.code, std::string(what) + ": " + error.message}});
    }
}

void Executor::run() {
    while (!queue_.stopped()) {
        const bool due_later = !writing_ && machine_.overlay_bytes() > 0;
        const auto deadline = due_later ? last_freeze_ + std::chrono::milliseconds(options_.freeze_ms)
                                        : std::chrono::steady_clock::time_point::max();
        std::deque<ExecutorTask> tasks = queue_.take_until(std::max(deadline, std::chrono::steady_clock::now()));
        for (ExecutorTask& task : tasks) {
            std::visit([this](auto& one) { handle(one); }, task);
        }
        drop_written(false);
        freeze_if_due();
    }
    final_write();
}

void Executor::handle(ExecuteTask& task) {
    freeze_at_checkpoint();
    if (no_room_ || failed_) {
        return;  // the log has it
    }
    const auto begin = std::chrono::steady_clock::now();
    Result<kvstore::ExecutedBlock> executed = machine_.execute(*task.block);
    if (!executed) {
        state_failed("a committed block cannot be executed", executed.error());
        return;
    }
    execute_durations_.add(std::chrono::steady_clock::now() - begin);
    results_.push(std::move(*executed));
    overlay_bytes_.store(machine_.overlay_bytes(), std::memory_order_relaxed);
    drop_written(false);
    freeze_if_due();
    const std::size_t bytes_max =
        options_.overlay_bytes_max == 0 ? limits::overlay_bytes_max : options_.overlay_bytes_max;
    while (writing_ && machine_.overlay_bytes() > bytes_max) {
        drop_written(true);  // the disk is slower than the cluster: execution waits, nothing else does
        freeze_if_due();
    }
}

void Executor::handle(AdmitTask& task) {
    Result<kvstore::AdmissionResult> result =
        failed_ ? Result<kvstore::AdmissionResult>(tl::unexpected(recovering())) : machine_.admit(*task.envelope);
    if (!result && result.error().code == Errc::corrupted) {
        state_failed("the state cannot be read", result.error());
    }
    results_.push(AdmitDone{task.link, std::move(task.envelope), std::move(result)});
}

void Executor::handle(ReadTask& task) {
    if (!machine_.may_ask(task.client, task.request.query)) {
        results_.push(ReadDone{task.link, std::move(task.request), task.lock,
                               fail(Errc::permission, "this client has no right to read that")});
        return;
    }
    Result<kvstore::ReadAnswer> answer =
        failed_ ? Result<kvstore::ReadAnswer>(tl::unexpected(recovering())) : machine_.read(task.request.query);
    if (!answer && answer.error().code == Errc::corrupted) {
        state_failed("the state cannot be read", answer.error());
        answer = tl::unexpected(recovering());
    }
    results_.push(ReadDone{task.link, std::move(task.request), task.lock, std::move(answer)});
}

void Executor::handle(ChangesTask& task) {
    if (!machine_.may_ask(task.client, range_of(task.query))) {
        results_.push(ChangesDone{task.ticket, fail(Errc::permission, "this client has no right to read that"), {}});
        return;
    }
    Result<kvstore::ChangePage> page =
        failed_ ? Result<kvstore::ChangePage>(tl::unexpected(recovering())) : machine_.changes(task.query);
    if (!page && page.error().code == Errc::corrupted) {
        state_failed("the state cannot be read", page.error());
        page = tl::unexpected(recovering());
    }
    results_.push(ChangesDone{task.ticket, std::move(page), machine_.revision()});
}

void Executor::freeze_if_due() {
    if (writing_ || no_room_ || failed_) {
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    const std::size_t bytes = machine_.overlay_bytes();
    const bool due = machine_.freeze_due() || bytes >= options_.freeze_bytes ||
                     (bytes > 0 && now - last_freeze_ >= std::chrono::milliseconds(options_.freeze_ms));
    if (!due) {
        return;
    }
    last_freeze_ = now;
    const bool at_checkpoint = machine_.freeze_due();  // the log is cut only below what is durable
    if (machine_.freeze()) {
        writing_ = true;
        to_write_.push(++generations_ % sync_every == 0 || at_checkpoint);
    }
}

// A generation ends exactly at a checkpoint: the next block waits until the one before it is written.
void Executor::freeze_at_checkpoint() {
    while (!no_room_ && !failed_ && machine_.freeze_due()) {
        drop_written(true);
        freeze_if_due();
    }
}

void Executor::drop_written(bool wait) {
    if (!writing_ || (!wait && written_.size() == 0)) {
        return;
    }
    const std::deque<bool> written = written_.take();
    if (!written.empty() && !written.back()) {
        no_room_ = true;
        writing_ = false;
    } else if (!written.empty()) {
        machine_.drop_frozen();
        writing_ = false;
        overlay_bytes_.store(machine_.overlay_bytes(), std::memory_order_relaxed);
        durable_height_.store(machine_.durable_height().value, std::memory_order_relaxed);
    }
}

void Executor::run_writer() {
    while (!to_write_.stopped()) {
        for (const bool synced : to_write_.take()) {
            const auto begin = std::chrono::steady_clock::now();
            const auto durability = synced ? kvstore::Durability::synced : kvstore::Durability::lazy;
            const bool done = write_frozen(durability);
            write_durations_.add(std::chrono::steady_clock::now() - begin);
            written_.push(done);
            queue_.push(WrittenTask{});
        }
    }
}

// A full disk is waited for: the transaction is gone as a whole, and the log has what is not written. False: it was
// still full when the replica had to stop.
bool Executor::write_frozen(kvstore::Durability durability) {
    for (;;) {
        const Result<void> done = machine_.write_frozen(durability);
        if (done) {
            return true;
        }
        if (done.error().code != Errc::disk_full) {
            state_failed("the state store cannot be written", done.error());
            return false;
        }
        if (stopping_ || failed_) {
            return false;
        }
        room_.wait([this] { return stopping_ || failed_; });
    }
}

void Executor::final_write() {
    while (writing_) {
        drop_written(true);
    }
    if (failed_) {
        return;
    }
    if (!no_room_ && machine_.freeze()) {
        if (!write_frozen(kvstore::Durability::synced)) {
            return;
        }
        machine_.drop_frozen();
    }
    if (const Result<void> synced = kv_.sync(); !synced) {
        state_failed("the state store cannot be synced", synced.error());
    }
    durable_height_.store(machine_.durable_height().value, std::memory_order_relaxed);
}

}  // namespace loyal::replica
