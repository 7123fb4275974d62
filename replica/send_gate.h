// SendGate: holds every message until the record that it depends on is durable (PROTOCOL.md D1).
// A message never waits for a record that it does not need (rule N2: PROPOSE does not wait for the votes of
// the same tick); among messages that wait, the order of records and, within one record, the order of sending is kept.
// Single-threaded.
#pragma once

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "config/assert.h"
#include "consensus/input_effect.h"

namespace loyal::replica {

class SendGate {
 public:
    // Calls `leave(send)` at once when nothing has to be waited for.
    template <class Leave>
    void submit(consensus::Send send, Leave&& leave) {
        if (send.after <= durable_) {
            let_go(std::move(send), leave);
            return;
        }
        waiting_[send.after].push_back(std::move(send));
        ++waiting_count_;
    }

    // `id` and everything before it is on disk.
    template <class Leave>
    void persisted(consensus::PersistId id, Leave&& leave) {
        durable_ = std::max(durable_, id);
        while (!waiting_.empty() && waiting_.begin()->first <= durable_) {
            auto batch = std::move(waiting_.begin()->second);
            waiting_.erase(waiting_.begin());
            waiting_count_ -= batch.size();
            for (consensus::Send& send : batch) {
                let_go(std::move(send), leave);
            }
        }
    }

    [[nodiscard]] consensus::PersistId durable() const { return durable_; }
    [[nodiscard]] std::size_t waiting() const { return waiting_count_; }

 private:
    template <class Leave>
    void let_go(consensus::Send send, Leave&& leave) {
        LOYAL_ASSERT(send.after <= durable_, "a message may not leave before its record is durable (D1)");
        leave(std::move(send));
    }

    consensus::PersistId durable_;
    std::map<consensus::PersistId, std::vector<consensus::Send>> waiting_;
    std::size_t waiting_count_ = 0;
};

}  // namespace loyal::replica
