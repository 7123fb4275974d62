#include "replica/executor.h"

#include <algorithm>

#include "config/limits.h"
#include "replica/fatal_of.h"

namespace loyal::replica {
namespace {

// A lazy write may be forgotten by a power cut; every so many generations one is synced, which bounds the replay.
constexpr std::uint64_t sync_every = 8;

[[noreturn]] void state_failed(const char* what, const Error& error) {
    fatal(fatal_code_of(error.code), std::string(what) + ": " + error.message);
}

}  // namespace

Executor::Executor(kvstore::StateMachine& machine, kvstore::Store& kv, Inbox<ExecutorResult>& results,
                   ExecutorOptions options)
    : machine_(machine),
      kv_(kv),
      results_(results),
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
    queue_.stop();
    if (thread_.joinable()) {
        thread_.join();
    }
    to_write_.stop();
    if (writer_.joinable()) {
        writer_.join();
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
    const auto begin = std::chrono::steady_clock::now();
    Result<kvstore::ExecutedBlock> executed = machine_.execute(*task.block);
    if (!executed) {
        state_failed("a committed block cannot be executed", executed.error());
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
    Result<kvstore::AdmissionResult> result = machine_.admit(*task.envelope);
    results_.push(AdmitDone{task.link, std::move(task.envelope), std::move(result)});
}

void Executor::handle(ReadTask& task) {
    if (!machine_.may_read(task.client)) {
        results_.push(ReadDone{task.link, std::move(task.request), task.lock,
                               fail(Errc::permission, "this client has no right to read")});
        return;
    }
    Result<kvstore::ReadAnswer> answer = machine_.read(task.request.range);
    results_.push(ReadDone{task.link, std::move(task.request), task.lock, std::move(answer)});
}

void Executor::freeze_if_due() {
    if (writing_) {
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    const std::size_t bytes = machine_.overlay_bytes();
    const bool due = bytes >= options_.freeze_bytes ||
                     (bytes > 0 && now - last_freeze_ >= std::chrono::milliseconds(options_.freeze_ms));
    if (!due) {
        return;
    }
    last_freeze_ = now;
    if (machine_.freeze()) {
        writing_ = true;
        to_write_.push(++generations_ % sync_every == 0);
    }
}

void Executor::drop_written(bool wait) {
    if (!writing_ || (!wait && written_.size() == 0)) {
        return;
    }
    if (!written_.take().empty()) {
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
            if (const Result<void> done = machine_.write_frozen(durability); !done) {
                state_failed("the state store cannot be written", done.error());
            }
            write_durations_.add(std::chrono::steady_clock::now() - begin);
            written_.push(true);
            queue_.push(WrittenTask{});
        }
    }
}

void Executor::final_write() {
    while (writing_) {
        drop_written(true);
    }
    if (machine_.freeze()) {
        if (const Result<void> done = machine_.write_frozen(kvstore::Durability::synced); !done) {
            state_failed("the state store cannot be written", done.error());
        }
        machine_.drop_frozen();
    }
    if (const Result<void> synced = kv_.sync(); !synced) {
        state_failed("the state store cannot be synced", synced.error());
    }
    durable_height_.store(machine_.durable_height().value, std::memory_order_relaxed);
}

}  // namespace loyal::replica
