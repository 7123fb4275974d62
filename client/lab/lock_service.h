// LockService: the workload with compare-and-sets that are critical sections: the caller acquires the key's lock on a
// lease of its own, reads, compares and puts, with the fencing token or without. As long as the lock excludes others
// that is a compare-and-set like any other, and the judge takes it for one: a holder that sleeps through the end of its
// lease and writes all the same is found as a history that is not linearizable. One thread a section, which are few.
#pragma once

#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

#include "client/lab/cluster_service.h"
#include "client/lab/scenario.h"

namespace loyal::lab {

class LockService final : public Service {
 public:
    // `cluster` outlives it, and is closed before it is.
    LockService(ClusterService& cluster, const Workload& workload) : cluster_(cluster), workload_(workload) {}
    ~LockService() override { close(); }

    void get(std::size_t caller, const std::string& key, Done done) override;
    void put(std::size_t caller, const std::string& key, const std::string& value, Done done) override;
    void del(std::size_t caller, const std::string& key, Done done) override;
    void cas(std::size_t caller, const std::string& key, const std::optional<std::string>& expect,
             const std::string& value, Done done) override;

    // The holder that is about to write next sleeps first, and its lease goes on.
    void pause_next_holder(std::uint64_t ms);
    // Waits for the sections that are under way.
    void close();

 private:
    struct Section {
        std::size_t caller = 0;
        Bytes key;
        std::optional<Bytes> expect;
        Bytes value;
    };
    [[nodiscard]] Ending run(const Section& section);
    [[nodiscard]] Ending hold(client::Client& client, const Section& section, kvstore::LeaseId lease);
    // The fencing token; 0: it was not acquired.
    [[nodiscard]] std::uint64_t acquire(client::Client& client, const Bytes& name, kvstore::LeaseId lease);
    void pause_if_told();
    // False when this is closing.
    bool sleep(std::uint64_t ms);

    ClusterService& cluster_;
    const Workload workload_;
    std::mutex mutex_;
    std::condition_variable closed_;
    bool closing_ = false;
    std::uint64_t pause_ms_ = 0;
    std::list<std::thread> threads_;
};

}  // namespace loyal::lab
