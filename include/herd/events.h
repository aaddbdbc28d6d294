#ifndef HERD_EVENTS_H
#define HERD_EVENTS_H
/*
 * Journal message ids: what operators, and herdctl for them, may search for.
 * An id keeps its meaning for ever; one that is no longer used is not reused.
 */

/* Programs */
#define MSG_MEMBER_READY     "13c88d3dbf264b1da0719c863e0fb655"
#define MSG_HELPER_READY     "c3d5453816c24ae0b8c66e782643a887"
#define MSG_NAME_TAKEN	     "60ff796985394767b9b93cef4eeb816a" /* HERD_MEMBER runs already */
#define MSG_HELPER_TAKEN     "1bb4368770a046cb8baafd9be9942767" /* this segment has a helper */
#define MSG_START_DELAYED    "a95fc95900f4408cb1b9526f74d62e21" /* back-off after HERD_STARTS bad starts */
#define MSG_SETTINGS_LOADED  "37e4a504fd0443148411fc2746c5e097" /* after SIGHUP */
#define MSG_SETTINGS_REFUSED "16fc5cc81c4e4c4eb4cdf62338d49198" /* the old ones stay */

/* herd-generator */
#define MSG_MEMBER_LEFT_OUT "cfe5b476f1e8466dabdeca0b809d9906" /* no sockets for HERD_MEMBER */
#define MSG_MEMBER_WRONG    "b2a9700024674ef1b977a31d182ceed6" /* its own mistakes will stop it */
#define MSG_SETTINGS_WRONG  "467862811a994b97b45eb7e1deb88120" /* mistakes that are no single member's */
#define MSG_UNITS_LOST	    "87b6e8aefcfe45e0ab0b2253a5cc4937" /* what should be written cannot be */

/* The fix table */
#define MSG_TABLE_CREATED   "10c959142a6f4670b7de1234c745f052"
#define MSG_TABLE_ADOPTED   "f51ceda81bd54185b4eafed6134c1236"
#define MSG_TABLE_REPLACED  "208d809a72944b2bb3c813add61afd79" /* now on another segment */
#define MSG_TABLE_LOST	    "fcfa959dc257447c82335bd0c187c2d7" /* degraded: a private table */
#define MSG_TABLE_RECOVERED "2101de61a79047a48e4047fc482d64fc"
#define MSG_TABLE_FULL	    "c16ba43f35b64a69bd5c05888f6cc36f" /* old fixes are evicted */
#define MSG_TABLE_RESCUED   "bc822c14682c4f8cae5c7231928b62b9" /* locks of the dead, damaged fixes */
#define MSG_TABLE_STUCK	    "bfb481fa4a35449f80a738b53b7892d7" /* a stopped process holds a bucket */

/* Its snapshots on the disk */
#define MSG_SNAPSHOT_LOADED    "e95abf3994c5490ebd5a184c97e4c139"
#define MSG_SNAPSHOT_WRITTEN   "7a97339a143b4878afecde24ab5aa5e4"
#define MSG_SNAPSHOT_REFUSED   "5cbbf417b70c4910ab3ce2e67ae7323c" /* kept aside, the one before is tried */
#define MSG_SNAPSHOT_FAILED    "2f70e9296130488e880e2b3be5746d4b" /* the last good one stays, tried again */
#define MSG_SNAPSHOT_RECOVERED "e233f2fd97cb436681476dd9c95cb082"

/* Links between hosts */
#define MSG_PEER_UP	  "aceccb4cc3b34d82ad71cfb735f3ebf9"
#define MSG_PEER_DOWN	  "1146919fbd3d4ce291126a36114c0a14"
#define MSG_PEER_REPLACED "96307ec0645d4883b9df72586159e9e3" /* HERD_STAND_IN takes its place */
#define MSG_PEER_RESTORED "128d7dd1392f47348a7e22fcae830bd4"
#define MSG_PEER_REFUSED  "de702d6c79cd424e8673a17d201c5b4f" /* by us or by it */
#define MSG_PEER_RESYNCED "3a9097d0ad69446891b4052458ed09ea"
#define MSG_PEER_DIVERGED "475e8252d89844d8b28ca95b8897951d" /* while the link was up */
#define MSG_PEER_AHEAD	  "23e0c6f8c1ce45d4b9f97a8ff2f477dd" /* fixes from the future */
#define MSG_NAME_CONFLICT "df64a4480f02408c87032d2371c6ba19" /* one member on two hosts */
#define MSG_HOST_CONFLICT "959b3f03898d4fbc8c8bf6c6d6726a69" /* one name or id of two hosts */
#define MSG_FLOOD_REFUSED "b3cc81b2146447a69ff7ad4faeac0ea5" /* links beyond this machine want protection */
#define MSG_TLS_RELOADED  "561eab76977c4fd2be572a3e70d25464"
#define MSG_TLS_EXPIRES	  "18bf0fdcea9348fb869d4d24b3d98760"

/* Places */
#define MSG_PLACES_LOADED  "dde3cf119f704e6ca9c6de358cace88e"
#define MSG_PLACES_REFUSED "0413d291a93f41168755c845f50cf8b8"
#define MSG_PLACES_DOWN	   "6ac503a2f51741268841dac7ecd13b0b" /* a service fails and is left alone for a while */
#define MSG_PLACES_UP	   "147bc5161bb445b78edf4c2fcd1888a6"
#define MSG_PLACES_DENIED  "b70c6366584f4b708e90023ca3618edb" /* it wants a key, another key, a contact */
#define MSG_PLACES_LIMITED "aba24543e7a44256842b083e3a09145d" /* the requests of the day are used up */
#define MSG_PLACES_FAULT   "bc1bf4a85ca24c4ebb143f3b486c2b89" /* an answer that cannot be used */

/* Connections: summaries, rate-limited */
#define MSG_CONNECTION_DROPPED "52b3717cac744853b1b1474bdbfd2764"
#define MSG_CONNECTION_REFUSED "0382e72733f541a78dd090e6e13b98df"

#endif
