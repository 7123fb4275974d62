// Offences: who sent bad messages lately (PROTOCOL.md §17: three bad ones disconnect, then back off). A bucket of three
// strikes for each identity, one of which is forgiven every ten seconds; whoever empties it is kept out for one second,
// and for twice as long each further time, up to a minute. Bounded by the number of known keys. Single-threaded.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>

#include "crypto/signature.h"

namespace loyal::replica {

class Offences {
 public:
    using Clock = std::chrono::steady_clock;
    static constexpr int strikes_max = 3;
    static constexpr std::chrono::seconds forgiven_after{10};
    static constexpr std::chrono::seconds ban_max{60};

    // True: enough, close the link.
    [[nodiscard]] bool strike(const crypto::PublicKey& who, Clock::time_point now) {
        Record& record = records_[who];
        forgive(record, now);
        if (++record.strikes < strikes_max) {
            return false;
        }
        record.strikes = 0;
        record.ban = std::min<Clock::duration>(record.ban * 2, ban_max);
        record.banned_until = now + record.ban;
        return true;
    }
    [[nodiscard]] bool banned(const crypto::PublicKey& who, Clock::time_point now) const {
        const auto found = records_.find(who);
        return found != records_.end() && now < found->second.banned_until;
    }

 private:
    struct Record {
        int strikes = 0;
        Clock::time_point last;
        Clock::duration ban = std::chrono::milliseconds(500);
        Clock::time_point banned_until;
    };
    static void forgive(Record& record, Clock::time_point now) {
        while (record.strikes > 0 && now - record.last >= forgiven_after) {
            --record.strikes;
            record.last += forgiven_after;
        }
        if (record.strikes == 0) {
            record.last = now;
        }
        if (now - record.banned_until > 10 * ban_max) {
            record.ban = std::chrono::milliseconds(500);
        }
    }

    std::map<crypto::PublicKey, Record> records_;
};

}  // namespace loyal::replica
