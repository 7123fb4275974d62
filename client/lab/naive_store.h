// The naive store: what LoyalKV is not. Replicas that order writes by their own wall clocks, and of two values keep the
// one with the later time ("last write wins", as Dynamo-like stores do): no log, no votes. Here only so that the lab
// can show, on the same schedule of skewed clocks, which writes such a store loses. In virtual time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/lab/record.h"
#include "client/lab/run.h"
#include "client/lab/scenario.h"
#include "config/result.h"

namespace loyal::lab {

// Every write is on every replica at once, the kindest network there is: what is lost, is lost to clocks alone.
class NaiveStore {
 public:
    explicit NaiveStore(std::uint16_t replicas) : clocks_(replicas) {}

    // `line` as of a scenario's clock step; errors name what this store's clocks cannot do.
    [[nodiscard]] Result<void> disturb(std::uint16_t replica, const std::string& line, std::uint64_t now_us);
    void mend(std::uint64_t now_us);
    [[nodiscard]] std::int64_t wall_us(std::uint16_t replica, std::uint64_t now_us) const;

    [[nodiscard]] std::optional<std::string> get(const std::string& key) const;
    // Stamped by `replica`'s clock; `value` absent deletes. Acknowledged whatever becomes of it.
    void put(std::uint16_t replica, const std::string& key, std::optional<std::string> value, std::uint64_t now_us);
    [[nodiscard]] std::uint64_t lost() const { return lost_; }  // acknowledged writes that nobody will ever read
    [[nodiscard]] std::string digest() const;

 private:
    struct Clock {
        std::int64_t offset_us = 0;
        std::int64_t drift_ppm = 0;
        std::uint64_t drift_from_us = 0;
        std::optional<std::int64_t> frozen_us;
    };
    struct Cell {
        std::int64_t stamp_us = 0;
        std::uint16_t writer = 0;  // breaks ties
        std::optional<std::string> value;
    };
    std::vector<Clock> clocks_;
    std::map<std::string, Cell> cells_;
    std::uint64_t lost_ = 0;
};

// A scenario with store = "last-write-wins", whoever runs it.
[[nodiscard]] Result<Record> run_naive(const Scenario& scenario, const RunOptions& options);

}  // namespace loyal::lab
