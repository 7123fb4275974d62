// Load: the callers of a scenario's workload, over whatever serves them. Closed loop or at a rate; every value is new;
// what came of each operation is kept for the judge. The owner pumps it and says what time it is, so that it works on a
// real clock and on a virtual one. Completions may come on another thread.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "client/lab/record.h"
#include "client/lab/scenario.h"

namespace loyal::lab {

// What came of one operation.
struct Ending {
    Operation::Status status = Operation::Status::unknown;
    bool applied = false;            // del, cas
    std::optional<std::string> out;  // get
};

// A single-key store, asked without waiting. `caller` is stable for one caller; a service may use it to choose a link.
class Service {
 public:
    using Done = std::function<void(const Ending&)>;
    virtual ~Service() = default;
    virtual void get(std::size_t caller, const std::string& key, Done done) = 0;
    virtual void put(std::size_t caller, const std::string& key, const std::string& value, Done done) = 0;
    virtual void del(std::size_t caller, const std::string& key, Done done) = 0;
    // `expect` absent: the key must not exist.
    virtual void cas(std::size_t caller, const std::string& key, const std::optional<std::string>& expect,
                     const std::string& value, Done done) = 0;
};

class Load {
 public:
    using Now = std::function<std::uint64_t()>;  // ns
    // `service` and `now` are used until the last completion.
    Load(const Workload& workload, std::uint64_t seed, Service& service, Now now);

    // Starts what is due. Call every few milliseconds.
    void pump();
    // No more operations start.
    void close();
    [[nodiscard]] bool idle() const;

    struct Counts {
        std::uint64_t ok = 0, failed = 0, unknown = 0;
        std::uint64_t last_ok_ns = 0;        // 0: none yet
        std::uint64_t last_asked_ok_ns = 0;  // when the latest one was asked that was answered
    };
    [[nodiscard]] Counts counts() const;
    // In order of their ends. Operations that never ended are not in it: wait until idle().
    [[nodiscard]] std::vector<Operation> take_operations();
    [[nodiscard]] std::vector<std::string> keys() const;

 private:
    struct Caller {
        std::uint64_t client = 0;  // in the history; a new one after an unknown outcome, whose operation is still open
        std::uint64_t values = 0;
        bool busy = false;
        std::uint64_t due_ns = 0;
        Operation operation;
    };
    void choose(Caller& caller, std::size_t index);
    void issue(std::size_t index, const Operation& operation);
    void complete(std::size_t index, const Ending& ending);
    void learn(const Operation& operation, const Ending& ending);

    const Workload workload_;
    Service& service_;
    const Now now_;
    mutable std::mutex mutex_;
    std::mt19937_64 random_;
    std::vector<Caller> callers_;
    std::vector<std::optional<std::string>> known_;  // of each key, when last heard of
    std::vector<Operation> operations_;
    Counts counts_;
    bool open_ = true;
    std::uint64_t next_due_ns_ = 0;  // with a rate
};

}  // namespace loyal::lab
