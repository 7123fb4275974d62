#include "replica/log_writer.h"

#include <utility>

#include "replica/fatal_of.h"

namespace loyal::replica {

LogWriter::LogWriter(kvstore::ConsensusLog& log, Inbox<consensus::PersistId>& durable, Room& room)
    : log_(log), durable_(durable), room_(room), thread_([this] { run(); }) {}

LogWriter::~LogWriter() {
    stop();
}

void LogWriter::stop() {
    stopping_ = true;
    room_.tell();
    queue_.stop();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void LogWriter::run() {
    while (!queue_.stopped()) {
        std::deque<consensus::Persist> taken = queue_.take();
        if (taken.empty()) {
            continue;
        }
        const std::size_t count = taken.size();
        std::vector<consensus::Persist> group;
        for (consensus::Persist& one : taken) {
            if (one.id.value != 0) {
                group.push_back(std::move(one));
            }
        }
        const auto begin = std::chrono::steady_clock::now();
        if (append(group)) {
            durations_.add(std::chrono::steady_clock::now() - begin);
            transactions_.fetch_add(1, std::memory_order_relaxed);
            persists_.fetch_add(group.size(), std::memory_order_relaxed);
            if (!group.empty()) {
                durable_.push(group.back().id);
            }
        }
        const std::lock_guard lock(mutex_);
        finished_ += count;
        written_.notify_all();
    }
}

void LogWriter::flush() {
    std::unique_lock lock(mutex_);
    written_.wait(lock, [this] { return finished_ == submitted_; });
}

// False: the disk had no room until the end. What was not written was not said to anybody.
bool LogWriter::append(const std::vector<consensus::Persist>& group) {
    for (;;) {
        const Result<void> written = log_.append(group);
        if (written) {
            waits_for_room_ = false;
            return true;
        }
        if (written.error().code != Errc::disk_full) {
            fatal(fatal_code_of(written.error().code),
                  "the consensus log cannot be written, so this replica may not vote any more: " +
                      written.error().message);
        }
        waits_for_room_ = true;
        if (stopping_) {
            return false;
        }
        room_.wait([this] { return stopping_.load(); });
    }
}

}  // namespace loyal::replica
