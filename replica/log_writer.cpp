#include "replica/log_writer.h"

#include <iterator>

#include "replica/fatal_of.h"

namespace loyal::replica {

LogWriter::LogWriter(kvstore::ConsensusLog& log, Inbox<consensus::PersistId>& durable)
    : log_(log), durable_(durable), thread_([this] { run(); }) {}

LogWriter::~LogWriter() {
    stop();
}

void LogWriter::stop() {
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
        const std::vector<consensus::Persist> group(std::make_move_iterator(taken.begin()),
                                                    std::make_move_iterator(taken.end()));
        const auto begin = std::chrono::steady_clock::now();
        if (const Result<void> written = log_.append(group); !written) {
            fatal(fatal_code_of(written.error().code),
                  "the consensus log cannot be written, so this replica may not vote any more: " +
                      written.error().message);
        }
        durations_.add(std::chrono::steady_clock::now() - begin);
        transactions_.fetch_add(1, std::memory_order_relaxed);
        persists_.fetch_add(group.size(), std::memory_order_relaxed);
        durable_.push(group.back().id);
    }
}

}  // namespace loyal::replica
